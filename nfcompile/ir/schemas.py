"""The operators of domain `nfcompile`, in one list.

The checker, the reference semantics, the legalize passes and the C++ library are all held to it.

    Y[..., o]   = epilogue(sum_i W[o, i] * X[..., i])               products
    Y[n, o, p]  = epilogue(sum_i W[o, i] * window(X[n], p)[i])      convolutions
    epilogue(t) = t + bias[o], + residual unless it comes after, activation, + residual if it does
"""

from collections.abc import Sequence

import onnx
import onnx.defs
from onnx.defs import OpSchema

__all__ = [
    "ACTIVATIONS",
    "CHAIN",
    "CONVS",
    "CONV_CHAIN",
    "DOMAIN",
    "EPILOGUE_ATTRIBUTES",
    "MATMULS",
    "SCHEMAS",
    "VERSION",
    "register_schemas",
]

DOMAIN = "nfcompile"
VERSION = 1

ACTIVATIONS = (
    "none",
    "relu",
    "leaky_relu",
    "clip",
    "gelu",
    "gelu_tanh",
    "silu",
    "sigmoid",
    "tanh",
    "hard_swish",
    "elu",
)
"""Values of the attribute `activation`; `leaky_relu` and `elu` take `activation_alpha` as alpha,
`clip` takes `activation_alpha` and `activation_beta` as its bounds."""

_INDEX = ("U", ["tensor(uint8)", "tensor(uint16)", "tensor(int32)"], "Narrow index type")
_POINTER = ("P", ["tensor(int32)", "tensor(int64)"], "Type of row starts")
_FLOAT = ("T", ["tensor(float)"], "Type of activations")
_WEIGHT = ("V", ["tensor(float)", "tensor(bfloat16)"], "Type of weights; bfloat16 runs in bf16")


def _input(name: str, kind: str, text: str, optional: bool = False) -> OpSchema.FormalParameter:
    option = (
        OpSchema.FormalParameterOption.Optional
        if optional
        else OpSchema.FormalParameterOption.Single
    )
    return OpSchema.FormalParameter(name, kind, text, param_option=option)


def _integer(name: str, text: str, default: int | None = None) -> OpSchema.Attribute:
    if default is None:
        return OpSchema.Attribute(name, OpSchema.AttrType.INT, text, required=True)
    return OpSchema.Attribute(name, onnx.helper.make_attribute(name, default), text)


_X = _input("X", "T", "Activations of shape (..., in); leading dimensions are the batch, any size.")
_EPILOGUE_INPUTS = [
    _input("bias", "T", "Added to every output row, shape (out,).", optional=True),
    _input("residual", "T", "Added elementwise, shape of Y.", optional=True),
]
EPILOGUE_ATTRIBUTES = [
    OpSchema.Attribute(
        "activation",
        onnx.helper.make_attribute("activation", "none"),
        f"One of {', '.join(ACTIVATIONS)}.",
    ),
    OpSchema.Attribute(
        "activation_alpha",
        onnx.helper.make_attribute("activation_alpha", 0.0),
        "First parameter of the activation.",
    ),
    OpSchema.Attribute(
        "activation_beta",
        onnx.helper.make_attribute("activation_beta", 0.0),
        "Second parameter of the activation.",
    ),
    _integer("residual_after_activation", "Where the residual is added: 1 after, 0 before.", 0),
]
_EPILOGUE_NAMES = {item.name for item in EPILOGUE_ATTRIBUTES}


def _matmul(
    name: str,
    doc: str,
    weights: list[OpSchema.FormalParameter],
    attributes: list[OpSchema.Attribute],
    types: list[tuple[str, list[str], str]],
    *,
    x: OpSchema.FormalParameter = _X,
    y: str = "Shape (..., out).",
) -> OpSchema:
    return OpSchema(
        name,
        DOMAIN,
        VERSION,
        doc,
        inputs=[x, *weights, *_EPILOGUE_INPUTS],
        outputs=[OpSchema.FormalParameter("Y", "T", y)],
        type_constraints=[_FLOAT, _WEIGHT, *types],
        attributes=[*attributes, *EPILOGUE_ATTRIBUTES],
    )


MATMULS: dict[str, OpSchema] = {
    "csr": _matmul(
        "CsrMatMul",
        "W in compressed sparse rows.",
        [
            _input("values", "V", "Non-zeros, shape (nnz,). Constant."),
            _input("indices", "U", "Column of each value, shape (nnz,). Constant."),
            _input("indptr", "P", "Start of each row, shape (out + 1,). Constant."),
        ],
        [_integer("in_features", "Number of columns of W.")],
        [_INDEX, _POINTER],
    ),
    "bsr": _matmul(
        "BsrMatMul",
        "W in block-sparse rows; out and in are multiples of R and C.",
        [
            _input("values", "V", "Blocks, shape (blocks, R, C). Constant."),
            _input("indices", "U", "Block column of each block, shape (blocks,). Constant."),
            _input("indptr", "P", "Start of each block row, shape (out / R + 1,). Constant."),
        ],
        [_integer("in_features", "Number of columns of W.")],
        [_INDEX, _POINTER],
    ),
    "block-diagonal": _matmul(
        "BlockDiagonalMatMul",
        "W of dense blocks: block b, row r writes output rows[b*R + r] and column c reads input "
        "cols[b*C + c]; -1 is padding. Without rows (cols) the index of entry e of block b is "
        "(b // s) * (R * s) + e * s + b % s with s = row_stride (col_stride, and C for R).",
        [
            _input("values", "V", "Blocks, shape (B, R, C). Constant."),
            _input("rows", "I", "Shape (B * R,). Constant.", optional=True),
            _input("cols", "I", "Shape (B * C,). Constant.", optional=True),
        ],
        [
            _integer("in_features", "Number of columns of W."),
            _integer("out_features", "Number of rows of W."),
            _integer("row_stride", "Stride of the rule for rows; 0 if rows are given.", 0),
            _integer("col_stride", "Stride of the rule for cols; 0 if cols are given.", 0),
        ],
        [("I", ["tensor(int32)"], "Index type")],
    ),
}
"""The matrix products by the encoding that they run."""

_WINDOW = [
    OpSchema.Attribute(name, OpSchema.AttrType.INTS, text, required=True)
    for name, text in (
        ("kernel_shape", "Height and width of the window."),
        ("strides", "Of the window, along both axes."),
        ("dilations", "Of the window, along both axes."),
        ("pads", "Zeros in front of both axes, then behind them."),
    )
]


def _conv(product: OpSchema) -> OpSchema:
    types = [item for item in product.type_constraints if item.type_param_str not in "TV"]
    own = [item for name, item in product.attributes.items() if name not in _EPILOGUE_NAMES]
    return _matmul(
        product.name.replace("MatMul", "Conv"),
        f"{product.doc} Its columns are what a window sees of all channels: column "
        "(c * height + i) * width + j is element (i, j) in channel c. The window has no groups: "
        "those are zeros of W.",
        list(product.inputs)[1:-2],
        [*own, *_WINDOW],
        [(item.type_param_str, list(item.allowed_type_strs), item.description) for item in types],
        x=_input("X", "T", "Images, shape (n, channels, height, width)."),
        y="Shape (n, out, places of the window along height, along width).",
    )


CONVS: dict[str, OpSchema] = {kind: _conv(product) for kind, product in MATMULS.items()}
"""The convolutions by the encoding that they run; inputs are those of the product."""

_CSR_TO_DENSE = OpSchema(
    "CsrToDense",
    DOMAIN,
    VERSION,
    "The dense W of a weight kept by its non-zeros. Front ends emit it; the pass fold-masks turns "
    "it into a constant, so that W never exists, and no runtime needs to have it.",
    inputs=[
        _input("values", "T", "Non-zeros, shape (nnz,)."),
        _input("indices", "P", "Column of each value, shape (nnz,)."),
        _input("indptr", "P", "Start of each row, shape (out + 1,)."),
    ],
    outputs=[OpSchema.FormalParameter("W", "T", "Shape (out, in).")],
    type_constraints=[_FLOAT, _POINTER],
    attributes=[OpSchema.Attribute("shape", OpSchema.AttrType.INTS, "[out, in]", required=True)],
)

_LAYER_LISTS = (
    ("in_features", "Number of columns of W."),
    ("out_features", "Number of rows of W."),
    ("row_strides", "As row_stride of BlockDiagonalMatMul; 0 if rows are given or do not apply."),
    ("col_strides", "As col_stride of BlockDiagonalMatMul; 0 if cols are given or do not apply."),
    ("has_bias", "1 if a bias follows the weights of the layer."),
    ("sources", "Slot that the layer reads."),
    ("residuals", "Slot that the layer adds, or -1."),
    ("residual_after_activation", "Where the residual is added: 1 after, 0 before."),
)

_WINDOW_LISTS = (
    ("kernel_shapes", "Height and width of each layer's window."),
    ("strides", "Of each layer's window, along both axes."),
    ("dilations", "Of each layer's window, along both axes."),
    ("pads", "Zeros in front of both axes, then behind them, for each layer."),
)


def _chain(name: str, doc: str, y: str, lists: Sequence[tuple[str, str]]) -> OpSchema:
    types = ("float", "bfloat16", "uint8", "uint16", "int32", "int64")
    required = [
        ("encodings", OpSchema.AttrType.STRING,
         f"{', '.join(MATMULS)}: one of them per layer, with commas between."),
        ("activations", OpSchema.AttrType.STRING,
         "As activation of the products, with commas between."),
        *((name, OpSchema.AttrType.INTS, text) for name, text in lists),
        *((f"activation_{name}s", OpSchema.AttrType.FLOATS, f"As activation_{name} of products.")
          for name in ("alpha", "beta")),
    ]  # fmt: skip
    operands = OpSchema.FormalParameter(
        "operands",
        "T0",
        "The activations, then for each layer its weights, in the order of the product's inputs "
        "without those that are absent, and its bias if has_bias. All but the activations are "
        "constant.",
        param_option=OpSchema.FormalParameterOption.Variadic,
        is_homogeneous=False,
        min_arity=1,
    )
    return OpSchema(
        name,
        DOMAIN,
        VERSION,
        doc,
        inputs=[operands],
        outputs=[OpSchema.FormalParameter("Y", "T", y)],
        type_constraints=[
            _FLOAT,
            (
                "T0",
                [f"tensor({kind})" for kind in types],
                "Types of activations, weights and indices",
            ),
        ],
        attributes=[
            _integer("inputs", "Number of activations.", 1),
            *(OpSchema.Attribute(name, kind, text, required=True) for name, kind, text in required),
        ],
    )


CHAIN = _chain(
    "SparseChain",
    "Several products as one operator, so that activations between them stay in the cache. It "
    "computes on slots: first the activations that it is given, all with the same leading "
    "dimensions, then what each layer gives, in order. A layer reads one slot and may add another; "
    "Y is what the last layer gives. Every list has one entry per layer.",
    "Shape (..., out).",
    _LAYER_LISTS,
)

CONV_CHAIN = _chain(
    "SparseConvChain",
    "Several convolutions as one operator, slots and layers as of SparseChain. Slots are images "
    "(n, channels, height, width) of any size, all with the same n; a few images at a time go "
    "through all layers. Columns of a layer's W are as of the convolution of its encoding.",
    "Shape (n, out, height, width) of the last layer's result.",
    (*_LAYER_LISTS, *_WINDOW_LISTS),
)

SCHEMAS: tuple[OpSchema, ...] = (
    *MATMULS.values(),
    *CONVS.values(),
    CHAIN,
    CONV_CHAIN,
    _CSR_TO_DENSE,
)
"""Every operator of the domain."""


def register_schemas() -> None:
    """Makes ONNX's checker know the domain; does nothing the second time."""
    for schema in SCHEMAS:
        if not onnx.defs.has(schema.name, schema.domain):
            onnx.defs.register_schema(schema)
