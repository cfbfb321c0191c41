"""What a convolution is taken for: its window, its pads, its matrix, and why some are not."""

import numpy as np
import onnx_ir as ir
import pytest
from support import evaluate, model

from nfcompile.ir.convolution import Convolution, match_convolution
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.layers import find_layers, match_layer
from nfcompile.sparse import BsrTensor, CsrTensor

RNG = np.random.default_rng(0)


def weights(*shape: int, density: float = 0.4) -> np.ndarray:
    values = RNG.standard_normal(shape) * (RNG.random(shape) < density)
    return values.astype(np.float32)


def images(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def convolve(weight: np.ndarray, attributes: str = "", x: str = "n,4,9,8", y: str = "") -> ir.Model:
    """A model of one convolution; `y` names sizes of its result that are not known."""
    axes = weight.ndim - 2
    sizes = y or ",".join(["n", str(len(weight)), *(f"s{i}" for i in range(axes))])
    given = f"<{attributes}>" if attributes else ""
    return model(
        f"agraph (float[{x}] x) => (float[{sizes}] y) {{ y = Conv{given}(x, w) }}", w=weight
    )


def match(source: ir.Model) -> Convolution:
    found = match_convolution(source.graph[-1])
    assert isinstance(found, Convolution)
    return found


def by_pads(conv: Convolution, x: np.ndarray) -> np.ndarray:
    """The convolution with its pads spelled out, by ONNX's reference."""
    strides, dilations, pads = (
        list(conv.window[name]) for name in ("strides", "dilations", "pads")
    )
    attributes = f"strides={strides}, dilations={dilations}, pads={pads}, group={conv.group}"
    weight = conv.weight.const_value
    assert weight is not None
    shape = ",".join(map(str, x.shape))
    return evaluate(convolve(weight.numpy(), attributes, shape), x=x)[0]


def test_a_convolution_tells_its_shapes_and_its_window() -> None:
    attributes = "strides=[2, 1], dilations=[1, 3], pads=[1, 2, 0, 3], group=2"
    conv = match(convolve(weights(6, 2, 3, 1), attributes))
    assert conv.weight_shape == (6, 2, 3, 1)
    assert (conv.dense_shape, conv.out_in, conv.group) == ((6, 6), (6, 12), 2)
    assert conv.window == {
        "kernel_shape": (3, 1),
        "strides": (2, 1),
        "dilations": (1, 3),
        "pads": (1, 2, 0, 3),
    }
    assert conv.bias is None


def test_attributes_that_are_left_out_have_the_defaults_of_onnx() -> None:
    conv = match(convolve(weights(6, 4, 3, 2)))
    assert conv.window == {
        "kernel_shape": (3, 2),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": (0, 0, 0, 0),
    }
    assert conv.group == 1


def test_a_layer_is_called_by_its_node_or_else_by_its_weight() -> None:
    source = convolve(weights(6, 4, 1, 1))
    source.graph[0].name = "stem"
    assert match(source).name == "stem"
    source.graph[0].name = None
    assert match(source).name == "w"


@pytest.mark.parametrize(
    ("weight", "attributes", "x", "words"),
    [
        ((6, 4, 3), "", "n,4,9", "its images have 1 axes, kernels take 2"),
        ((6, 4, 3, 3, 3), "", "n,4,9,9,9", "its images have 3 axes, kernels take 2"),
        ((4, 1, 3, 3), "group=4", "n,4,9,9", "depthwise convolutions are the runtime's own"),
        ((8, 1, 3, 3), "group=4", "n,4,9,9", "depthwise convolutions are the runtime's own"),
        ((6, 4, 3, 3), "pads=[0, -1, 0, 0]", "n,4,9,9", "its pads are negative"),
        ((6, 4, 3, 3), 'auto_pad="SAME_UPPER", strides=[2, 2]', "n,4,h,9",
         "auto_pad SAME_UPPER of images of unknown size"),
        ((6, 4, 3, 3), 'auto_pad="SAME_LOWER", strides=[1, 2]', "n,4,9,w",
         "auto_pad SAME_LOWER of images of unknown size"),
    ],
)  # fmt: skip
def test_says_why_a_convolution_is_not_taken(
    weight: tuple[int, ...], attributes: str, x: str, words: str
) -> None:
    source = convolve(weights(*weight), attributes, x)
    assert match_convolution(source.graph[0]) == words
    assert match_layer(source.graph[0]) == words
    assert not list(find_layers(source))


def test_a_single_channel_in_one_group_is_not_depthwise() -> None:
    assert match(convolve(weights(6, 1, 3, 3), x="n,1,9,9")).out_in == (6, 9)


@pytest.mark.parametrize(
    "text",
    [
        "agraph (float[n,4,9,9] x, float[6,4,3,3] w) => (float[n,6,7,7] y) { y = Conv(x, w) }",
        "agraph (float[n,4,9,9] x, float[6,4,3,3] v) => (float[n,6,7,7] y)"
        " { w = Relu(v)\n y = Conv(x, w) }",
    ],
)
def test_a_weight_that_can_change_is_not_taken(text: str) -> None:
    given = {} if "Relu" in text else {"w": weights(6, 4, 3, 3)}
    assert match_convolution(model(text, **given).graph[-1]) == "weight w is not constant"


def test_other_operators_are_no_convolutions() -> None:
    source = model(
        "agraph (float[n,4,9,9] x) => (float[n,6,11,11] y) { y = ConvTranspose(x, w) }",
        w=weights(4, 6, 3, 3),
    )
    assert match_convolution(source.graph[0]) is None
    source.graph[0].op_type = "Conv"
    source.graph[0].domain = "com.example"
    assert match_convolution(source.graph[0]) is None


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (5, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_pads_are_those_that_keep_the_size(
    stride: int, kernel: tuple[int, int], auto: str
) -> None:
    attributes = f'auto_pad="{auto}", strides=[{stride}, {stride}]'
    source = convolve(weights(5, 4, *kernel, density=1.0), attributes, "2,4,9,8")
    x = images(2, 4, 9, 8)
    expected = evaluate(source, x=x)[0]
    assert expected.shape[2:] == (-(-9 // stride), -(-8 // stride))
    got = by_pads(match(source), x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("auto", "pads"), [("SAME_UPPER", (1, 0, 2, 0)), ("SAME_LOWER", (2, 0, 1, 0))]
)
def test_the_odd_row_of_automatic_pads_goes_where_their_name_says(
    auto: str, pads: tuple[int, ...]
) -> None:
    assert match(convolve(weights(5, 4, 4, 1), f'auto_pad="{auto}"')).pads == pads


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_pads_count_what_a_dilated_window_reaches(auto: str) -> None:
    attributes = f'auto_pad="{auto}", dilations=[2, 3]'
    source = convolve(weights(5, 4, 2, 3), attributes, "2,4,9,8")
    x = images(2, 4, 9, 8)
    got = by_pads(match(source), x)
    assert got.shape == (2, 5, 9, 8)
    np.testing.assert_allclose(got, evaluate(source, x=x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("x", ["n,4,h,w", "2,4,9,8"])
def test_sizes_may_be_open_where_the_pads_do_not_depend_on_them(x: str) -> None:
    weight = weights(5, 4, 3, 4)
    assert match(convolve(weight, 'auto_pad="SAME_UPPER"', x)).pads == (1, 1, 1, 2)
    assert match(convolve(weight, 'auto_pad="VALID", strides=[2, 2]', x)).pads == (0, 0, 0, 0)
    assert match(convolve(weight, 'auto_pad="NOTSET", pads=[1, 2, 3, 4]', x)).pads == (1, 2, 3, 4)


def test_automatic_pads_of_images_without_a_shape_are_those_of_any_size() -> None:
    source = convolve(weights(5, 4, 3, 3), 'auto_pad="SAME_UPPER"')
    source.graph.inputs[0].shape = None
    assert match(source).pads == (1, 1, 1, 1)
    source = convolve(weights(5, 4, 3, 3), 'auto_pad="SAME_UPPER", strides=[2, 2]')
    source.graph.inputs[0].shape = None
    assert "unknown size" in str(match_convolution(source.graph[0]))


def block_diagonal(weight: np.ndarray, groups: int) -> np.ndarray:
    """What all channels see of a grouped weight, put together group by group."""
    out, *rest = weight.shape
    rows, width = out // groups, int(np.prod(rest))
    dense = np.zeros((out, groups * width), np.float32)
    for group in range(groups):
        at = slice(group * rows, (group + 1) * rows)
        dense[at, group * width : (group + 1) * width] = weight[at].reshape(rows, width)
    return dense


@pytest.mark.parametrize("groups", [1, 2, 3, 4])
@pytest.mark.parametrize("density", [0.3, 1.0, 0.0])
def test_the_matrix_of_groups_is_block_diagonal(groups: int, density: float) -> None:
    weight = weights(12, 5, 3, 2, density=density)
    source = convolve(weight, f"group={groups}", f"n,{5 * groups},9,8")
    csr = match(source).csr()
    assert csr.shape == (12, 5 * 6 * groups)
    assert csr.stored == np.count_nonzero(weight)
    np.testing.assert_array_equal(csr.numpy(), block_diagonal(weight, groups))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_matrix_times_what_windows_see_is_the_convolution(groups: int) -> None:
    weight = weights(8, 3, 2, 2)
    source = convolve(weight, f"group={groups}", f"2,{3 * groups},5,4")
    x = images(2, 3 * groups, 5, 4)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))
    seen = windows.transpose(0, 2, 3, 1, 4, 5).reshape(2, 4, 3, -1)
    got = np.einsum("of,nhwf->nohw", match(source).csr().numpy(), seen)
    np.testing.assert_allclose(got, evaluate(source, x=x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kind", ["csr", "bsr"])
def test_an_encoded_constant_gives_back_the_constant(kind: str, groups: int) -> None:
    weight = weights(8, 4, 3, 2)
    conv = match(convolve(weight, f"group={groups}", f"n,{4 * groups},9,8"))
    csr = conv.csr()
    encoding = csr if kind == "csr" else BsrTensor.from_csr(csr, (4, 4))
    encoded = conv.encoded(encoding, "fp32")
    assert isinstance(encoded, EncodedTensor)
    assert tuple(encoded.shape) == weight.shape
    assert (encoded.name, encoded.precision, encoded.dtype) == ("w", "fp32", ir.DataType.FLOAT)
    np.testing.assert_array_equal(encoded.numpy(), weight)


def test_what_an_encoding_holds_of_other_groups_is_not_in_the_constant() -> None:
    dense = np.arange(1, 4 * 6 + 1, dtype=np.float32).reshape(4, 6)
    encoded = EncodedTensor(CsrTensor.from_dense(dense), name="w", shape=(4, 3, 1, 1))
    expected = np.concatenate([dense[:2, :3], dense[2:, 3:]])
    np.testing.assert_array_equal(encoded.numpy()[:, :, 0, 0], expected)


def test_a_model_with_an_encoded_constant_computes_the_same() -> None:
    source = convolve(weights(8, 3, 3, 3), "group=2, pads=[1, 1, 1, 1]", "2,6,5,4")
    x = images(2, 6, 5, 4)
    expected = evaluate(source, x=x)[0]
    conv = match(source)
    conv.weight.const_value = conv.encoded(conv.csr(), "fp32")
    np.testing.assert_array_equal(evaluate(source, x=x)[0], expected)
    assert match(source).weight_shape == (8, 3, 3, 3)
    np.testing.assert_array_equal(match(source).csr().numpy(), conv.csr().numpy())


def test_layers_of_both_kinds_are_found_in_order_inside_branches_too() -> None:
    source = model(
        "agraph (float[n,4,1,1] x, bool c) => (float[n,4,1,1] y) { a = Conv(x, w)\n"
        " b = MatMul(a, one)\n y = If (c) <"
        " then_branch = t () => (float[n,4,1,1] u) { u = Conv(b, w) },"
        " else_branch = e () => (float[n,4,1,1] v) { v = Neg(b) }> }",
        w=weights(4, 4, 1, 1),
        one=np.ones((1, 1), np.float32),
    )
    assert [layer.node.op_type for layer in find_layers(source)] == ["Conv", "MatMul", "Conv"]
