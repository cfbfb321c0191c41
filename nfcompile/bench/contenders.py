"""What the suite measures: engines, each with the file of a case that it runs."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfcompile.api import compile as compile_network
from nfcompile.bench.case import Network
from nfcompile.bench.held import held_to
from nfcompile.errors import EngineMissingError, UnsupportedModelError
from nfcompile.passes import default_pipeline
from nfcompile.runtime.deepsparse import DeepSparseEngine
from nfcompile.runtime.engine import TimedRunner
from nfcompile.runtime.graphblas import GraphBlasEngine
from nfcompile.runtime.openvino import OpenVinoEngine
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.ort_cuda import OrtCudaEngine
from nfcompile.runtime.scipy import ScipyEngine
from nfcompile.runtime.torch import TorchEngine
from nfcompile.target import cpu_flags

__all__ = ["CONTENDERS", "REFERENCE", "Contender"]

MakeFile = Callable[[Network, Path, int], Path]
"""The file to load, out of a network, a folder to write to and the number of threads."""


@dataclass(frozen=True)
class Contender:
    """An engine in one of its modes.

    Attributes:
        name: What options and tables call it.
        precision: `fp32`, `tf32`, `bf16` or `int8`: of its arithmetic.
        ours: Whether nfcompile made the model; else it is a peer.
        file: Makes or picks the file it loads.
        load: Loads it on a number of threads.
        cases: What the names of the cases it can run begin with.
    """

    name: str
    precision: str
    ours: bool
    file: MakeFile
    load: Callable[[Path, int], TimedRunner]
    cases: str = ""


def _graph(network: Network, folder: Path, threads: int) -> Path:
    return network.graph


def _dense(network: Network, folder: Path, threads: int) -> Path:
    if network.dense is None:
        raise UnsupportedModelError("dense weights of this case would take 8 GB")
    return network.dense


def _module(network: Network, folder: Path, threads: int) -> Path:
    return network.module or _dense(network, folder, threads)


def _int8(network: Network, folder: Path, threads: int) -> Path:
    """ONNX Runtime's own dynamic quantization of the dense file, with its defaults."""
    dense, path = _dense(network, folder, threads), folder / "int8.onnx"
    if not path.exists():
        from onnxruntime.quantization import quantize_dynamic

        logging.disable(logging.WARNING)  # advice to run steps that ONNX Runtime takes by itself
        try:
            quantize_dynamic(dense, path)
        finally:
            logging.disable(logging.NOTSET)
    return path


def _compiled(**options: Any) -> MakeFile:
    def make(network: Network, folder: Path, threads: int) -> Path:
        if options.get("target") == "portable":
            _dense(network, folder, threads)  # what is not block-diagonal stays dense there
        path = folder / f"compiled-{'-'.join(options.values())}-{threads}.onnx"
        if not path.exists():
            missing = set(options) - set(inspect.signature(compile_network).parameters)
            if missing:
                raise EngineMissingError(
                    f"this nfcompile cannot compile with {', '.join(missing)} yet"
                )
            compile_network(
                network.source, network.example, threads=threads, samples=2, **options
            ).save(path)
        return path

    return make


def _general(network: Network, folder: Path, threads: int) -> Path:
    """Without merging equal rows, which shrinks a network of the Graph Challenge to 64 columns."""
    path = folder / f"general-{threads}.onnx"
    if not path.exists():
        text = default_pipeline("ort-cpu", threads, without=["merge-duplicates"])
        compile_network(
            network.source, network.example, threads=threads, passes=text, samples=2
        ).save(path)
    return path


_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
_ort = OrtEngine().load_for_timing
_cuda = OrtCudaEngine().load_for_timing
_cuda_alone = OrtCudaEngine(fallback=False).load_for_timing

REFERENCE = "ort"
"""The contender that all others are compared with; scipy where its file would be too large."""

CONTENDERS: tuple[Contender, ...] = (
    Contender("ort", "fp32", False, _dense, _ort),
    Contender("ort-int8", "int8", False, _int8, _ort),
    Contender("nfcompile", "fp32", True, _compiled(), _ort),
    Contender("nfcompile-bf16", "bf16", True, _compiled(precision="bf16"), _ort),
    Contender("nfcompile-general", "fp32", True, _general, _ort, cases="graph-challenge"),
    Contender("portable", "fp32", True, _compiled(target="portable"), _ort),
    Contender("openvino", "fp32", False, _dense, OpenVinoEngine().load),
    Contender(
        "openvino-default",
        "bf16" if _BF16_FLAGS & cpu_flags() and not held_to() else "fp32",
        False,
        _dense,
        OpenVinoEngine("").load,
    ),
    Contender("torch", "fp32", False, _module, TorchEngine().load),
    Contender("torch-compile", "fp32", False, _module, TorchEngine("compile").load),
    Contender("torch-csr", "fp32", False, _graph, TorchEngine("csr").load),
    Contender("scipy", "fp32", False, _graph, ScipyEngine().load),
    Contender("deepsparse", "fp32", False, _dense, DeepSparseEngine().load),
    Contender("graphblas", "fp32", False, _graph, GraphBlasEngine().load, cases="graph-challenge"),
    Contender("ort-cuda", "tf32", False, _dense, _cuda),
    Contender("nfcompile-cuda", "tf32", True, _compiled(target="ort-cuda"), _cuda),
    Contender(
        "nfcompile-cuda-bf16", "bf16", True, _compiled(target="ort-cuda", precision="bf16"), _cuda
    ),
    Contender("portable-cuda", "tf32", True, _compiled(target="portable"), _cuda_alone),
)
"""All contenders, the reference first."""
