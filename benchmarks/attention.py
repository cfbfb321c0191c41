"""Times attention in ONNX Runtime: python benchmarks/attention.py [--rounds 15].

Three models of the same function take turns: plain operators as exporters write them, ONNX
Runtime's own com.microsoft.MultiHeadAttention with a bias, and ours. Outputs are compared first.
Prints medians in milliseconds, 12 heads of 64, a mask [batch, 1, 1, keys], which ONNX Runtime's
operator wants expanded to all queries.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper

from nfcompile import _native
from nfcompile.target import cpu_name

HEADS, SIZE = 12, 64
WIDTH = HEADS * SIZE
CASES = [(16, 128, 128), (1, 128, 128), (1, 512, 512), (4, 384, 384), (1, 16, 16), (1, 1, 128)]
"""Batch, queries, keys."""


def plain() -> list[NodeProto]:
    nodes = []
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes.append(helper.make_node("Reshape", [name, "split"], [f"{name}s"]))
        nodes.append(helper.make_node("Transpose", [f"{name}s"], [f"{name}h"], perm=order))
    return [
        *nodes,
        helper.make_node("MatMul", ["qh", "kh"], ["products"]),
        helper.make_node("Mul", ["products", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mask"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "vh"], ["yh"]),
        helper.make_node("Transpose", ["yh"], ["ys"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["ys", "join"], ["y"]),
    ]


MODELS = {
    "plain": plain(),
    "ONNX Runtime's": [
        helper.make_node("Expand", ["mask", "full"], ["bias"]),
        helper.make_node(
            "MultiHeadAttention",
            ["q", "k", "v", "", "", "bias"],
            ["y"],
            num_heads=HEADS,
            domain="com.microsoft",
        ),
    ],
    "ours": [
        helper.make_node(
            "MultiHeadAttention", ["q", "k", "v", "mask"], ["y"], heads=HEADS, domain="nfcompile"
        )
    ],
}


def model(nodes: list[NodeProto], queries: int, keys: int) -> ModelProto:
    shapes = {
        "q": ["b", queries, WIDTH],
        "k": ["b", keys, WIDTH],
        "v": ["b", keys, WIDTH],
        "mask": ["b", 1, 1, keys],
        "y": ["b", queries, WIDTH],
    }
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    constants = [
        helper.make_tensor("split", TensorProto.INT64, [4], [0, 0, HEADS, SIZE]),
        helper.make_tensor("join", TensorProto.INT64, [3], [0, 0, WIDTH]),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [SIZE**-0.5]),
        helper.make_tensor("full", TensorProto.INT64, [4], [1, 1, queries, 1]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "attention",
        infos[:-1],
        infos[-1:],
        [item for item in constants if item.name in used],
    )
    opsets = [helper.make_opsetid(name, 17 if not name else 1) for name in ("", "nfcompile")]
    opsets.append(helper.make_opsetid("com.microsoft", 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def sessions(queries: int, keys: int, threads: int) -> dict[str, ort.InferenceSession]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Else the threads of one session spin on a core while another session runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.register_custom_ops_library(
        str(Path(_native.__file__).with_name("libnfcompile_ops.so"))
    )
    return {
        name: ort.InferenceSession(
            model(nodes, queries, keys).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        for name, nodes in MODELS.items()
    }


def time_case(batch: int, queries: int, keys: int, threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each model."""
    rng = np.random.default_rng(0)
    shapes = {"q": (batch, queries, WIDTH), "k": (batch, keys, WIDTH), "v": (batch, keys, WIDTH)}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    feeds["mask"] = np.where(rng.random((batch, 1, 1, keys)) < 0.1, -1e4, 0).astype(np.float32)
    runs = sessions(queries, keys, threads)
    expected = runs["plain"].run(None, feeds)[0]
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        error = np.abs(run.run(None, feeds)[0] - expected).max()
        if not error < 1e-5:
            raise SystemExit(f"{name} must agree with plain operators, is wrong by {error:.1e}")
    order = list(runs)
    for _ in range(rounds):
        for name in order:
            start = time.perf_counter()
            runs[name].run(None, feeds)
            samples[name].append((time.perf_counter() - start) * 1e3)
        order = [*order[1:], order[0]]
    return {name: statistics.median(times) for name, times in samples.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="calls per model; small cases, 20x")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print(f"{cpu_name()}, onnxruntime {ort.__version__}, kernels {_native.selected_isa()}\n")
    print(f"| batch | queries | keys | threads | {' ms | '.join(MODELS)} ms | GFLOP/s |")
    print("|" + "---|" * 8)
    for threads in options.threads:
        for batch, queries, keys in CASES:
            small = batch * queries * keys < 1e5
            times = time_case(batch, queries, keys, threads, options.rounds * (20 if small else 1))
            flops = 4 * batch * HEADS * queries * keys * SIZE
            cells = " | ".join(f"{ms:.3f}" for ms in times.values())
            print(
                f"| {batch} | {queries} | {keys} | {threads} | {cells} "
                f"| {flops / times['ours'] / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
