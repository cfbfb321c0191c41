"""Results are the same bits for any number of threads, however tiles are cut for them."""

import threading
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support_chains import Floats, Network, run_all, sample

from nfcompile import _native
from nfcompile.runtime.op_library import op_library_path

BATCHES = (16, 17, 32, 40, 48, 64, 80, 150)


def bits(y: Floats) -> NDArray[np.int32]:
    """-0 is not 0 here."""
    return y.view(np.int32)


def butterflies(isa: str, precision: str) -> Network:
    """Factors of 16 and 32, whose tiles may be of any width."""
    network = Network(isa, [256, 256], precision)
    # Negative sums become -0, and are added to what may be 0 for some rows.
    first = network.butterfly(256, 16, 1, 0, activation="leaky_relu", residual=1, mode=1)
    slot = network.butterfly(256, 16, 16, first, residual=1, bias=False)
    slot = network.butterfly(256, 32, 8, network.norm(slot), residual=slot, mode=2)
    last = network.butterfly(256, 32, 1, slot, residual=1, activation="relu")
    network.outputs = [first, last]
    return network


def mixed(isa: str, precision: str) -> Network:
    """Unstructured rows, of which AVX-512 runs code from 65 rows on, groups and a factor."""
    network = Network(isa, [256, 256], precision)
    slot = network.csr(500, 256, 0, 1, activation="relu")
    slot = network.csr(500, 500, slot, 1, residual=slot)
    slot = network.csr(256, 500, slot, 2, activation="relu")
    first = network.butterfly(256, 16, 16, slot, residual=1)
    last = network.csr(256, 256, first, 1)
    network.outputs = [first, last]
    return network


@pytest.mark.parametrize("isa", _native.test_isas())
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("make", [butterflies, mixed])
def test_how_tiles_are_cut_for_threads_does_not_show(
    isa: str, precision: str, make: Callable[[str, str], Network]
) -> None:
    for batch in BATCHES:
        network = make(isa, precision)
        chain = network.chain()
        x, beside = sample(network, batch)
        x[20:36] = 0
        beside[:16] = 0
        expected = run_all(chain, [256, 256], [x, beside], form="tiles")
        for threads in (2, 3, 5, 8):
            for y, right in zip(
                run_all(chain, [256, 256], [x, beside], threads, form="tiles"),
                expected,
                strict=True,
            ):
                np.testing.assert_array_equal(bits(y), bits(right), err_msg=f"{batch}, {threads}")


def _session(threads: int) -> tuple[ort.InferenceSession, int]:
    """Of a butterfly whose session learns how many threads to call."""
    n, radix = 512, 16
    values = np.random.default_rng(0).standard_normal((n // radix, radix, radix))
    node = helper.make_node(
        "BlockDiagonalMatMul", ["X", "W"], ["Y"], domain="nfcompile",
        in_features=n, out_features=n, row_stride=4, col_stride=4,
    )  # fmt: skip
    sides = [helper.make_tensor_value_info(s, TensorProto.FLOAT, ["batch", n]) for s in "XY"]
    weight = onnx.numpy_helper.from_array(values.astype(np.float32), "W")
    graph = helper.make_graph([node], "g", sides[:1], sides[1:], [weight])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nfcompile", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.register_custom_ops_library(str(op_library_path()))
    return ort.InferenceSession(made.SerializeToString(), options), n


@pytest.mark.parametrize("callers", [1, 4])
def test_a_session_that_learns_gives_the_same_bits_throughout(callers: int) -> None:
    session, n = _session(3)
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal((batch, n)).astype(np.float32) for batch in (16, 200, 1000)]
    alone, _ = _session(1)
    expected = [bits(alone.run(None, {"X": x})[0]) for x in inputs]
    wrong: list[int] = []

    def work() -> None:
        for i in range(400):
            x, right = inputs[i % 3], expected[i % 3]
            if not np.array_equal(bits(session.run(None, {"X": x})[0]), right):
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
