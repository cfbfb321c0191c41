"""The kernels of libnfcompile_ops, for tests, calibration and benchmarks.

The operator library lies beside this module, as `libnfcompile_ops.so`.
Every function raises ValueError with one line on malformed weights or shapes.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float32]
_Integers: TypeAlias = NDArray[np.integer[Any]]
# Shape, strides and dilations of a window.
_Taps: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

class Kernel(TypedDict):
    family: str
    isa: str
    description: str

class Crew:
    """How many threads to call for runs of some rows, learned from how long they take."""

    def __init__(self) -> None: ...
    def call(self, rows: int, threads: int) -> int: ...
    def learn(self, rows: int, threads: int, called: int, ns: int) -> None: ...

class Product:
    """Packed weights: y = epilogue(x @ W.T)."""

    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def description(self) -> str: ...
    @property
    def panels(self) -> int:
        """Of columns, where rows run over tiles for themselves; else 0."""
    @property
    def tile_bytes(self) -> int:
        """Of values and columns for tiles; not of code."""
    @property
    def amx_columns(self) -> int:
        """Columns of a chunk that the registers of AMX take; 0 where the weight has none."""
    @property
    def generated(self) -> bool:
        """Whether code was generated for the weights."""
    def workers(self, batch: int, *, threads: int = 1) -> int: ...
    def planned_tile(self, batch: int, *, threads: int = 1) -> tuple[int, bool]:
        """Batch rows of a tile, of which a batch may have fewer; whether it runs as code."""
    def run(
        self,
        x: _Floats,
        y: _Floats,
        *,
        bias: _Floats | None = None,
        residual: _Floats | None = None,
        activation: str = "none",
        activation_alpha: float = 0.0,
        activation_beta: float = 0.0,
        residual_mode: int = 0,
        threads: int = 1,
        form: str = "auto",
    ) -> None: ...
    def __call__(
        self,
        x: _Floats,
        *,
        bias: _Floats | None = None,
        residual: _Floats | None = None,
        activation: str = "none",
        activation_alpha: float = 0.0,
        activation_beta: float = 0.0,
        residual_mode: int = 0,
        threads: int = 1,
        form: str = "auto",
    ) -> _Floats: ...

class Chain:
    """Products and norms run as one: slots are the inputs, then what each layer gives.

    `sources` and `residuals` (-1 for none) are slots, one per layer like all other lists. A norm is
    its scale, its epsilon and whether it is centered. `outputs`: slots; none for the last one.
    """

    def __init__(
        self,
        inputs: list[int],
        layers: Sequence[Product | tuple[_Floats, float, bool]],
        sources: list[int],
        residuals: list[int],
        biases: list[_Floats | None],
        activations: list[str],
        alphas: list[float],
        betas: list[float],
        residual_modes: list[int],
        outputs: list[int] = ...,
    ) -> None: ...
    @property
    def out_features(self) -> int: ...
    def workers(self, batch: int, threads: int) -> int: ...
    def run(
        self,
        inputs: list[_Floats],
        outputs: list[_Floats],
        *,
        threads: int = 1,
        form: str = "auto",
    ) -> None: ...
    def convolve(
        self,
        inputs: list[_Floats],
        y: _Floats,
        *,
        kernel_shape: list[int],
        strides: list[int],
        dilations: list[int],
        pads: list[int],
        threads: int = 1,
    ) -> None:
        """Runs on images (n, channels, height, width), whose windows are the first layer's x.

        Features are (channel, row, column) of the window, in this order; other inputs and y have
        shape (n, features, height, width) of the result.
        """

def isas() -> list[str]: ...
def test_isas() -> list[str]: ...
def selected_isa() -> str: ...
def kernels() -> list[Kernel]: ...
def pack_csr(
    values: _Floats,
    indices: _Integers,
    indptr: _Integers,
    in_features: int,
    *,
    isa: str = "",
    precision: str = "float32",
    generate: bool = True,
    window: _Taps | None = None,
) -> Product:
    """`window`: of a convolution, for code that needs no windows."""

def generate_csr(
    values: _Floats,
    indices: _Integers,
    indptr: _Integers,
    in_features: int,
    *,
    window: _Taps | None = None,
) -> bytes:
    """The code that pack_csr generates for AVX-512, on any machine."""

def pack_bsr(
    values: _Floats,
    indices: _Integers,
    indptr: _Integers,
    in_features: int,
    *,
    isa: str = "",
    precision: str = "float32",
) -> Product: ...
def pack_block_diagonal(
    values: _Floats,
    rows: _Integers | None,
    cols: _Integers | None,
    in_features: int,
    out_features: int,
    *,
    row_stride: int = 0,
    col_stride: int = 0,
    isa: str = "",
    precision: str = "float32",
) -> Product: ...
def csr_matmul(
    x: _Floats,
    values: _Floats,
    indices: _Integers,
    indptr: _Integers,
    in_features: int,
    *,
    isa: str = "",
    bias: _Floats | None = None,
    residual: _Floats | None = None,
    activation: str = "none",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    residual_mode: int = 0,
    threads: int = 1,
) -> _Floats: ...
def bsr_matmul(
    x: _Floats,
    values: _Floats,
    indices: _Integers,
    indptr: _Integers,
    in_features: int,
    *,
    isa: str = "",
    bias: _Floats | None = None,
    residual: _Floats | None = None,
    activation: str = "none",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    residual_mode: int = 0,
    threads: int = 1,
) -> _Floats: ...
def block_diagonal_matmul(
    x: _Floats,
    values: _Floats,
    rows: _Integers | None,
    cols: _Integers | None,
    in_features: int,
    out_features: int,
    *,
    row_stride: int = 0,
    col_stride: int = 0,
    isa: str = "",
    bias: _Floats | None = None,
    residual: _Floats | None = None,
    activation: str = "none",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    residual_mode: int = 0,
    threads: int = 1,
) -> _Floats: ...
def csr_forward(
    x: _Floats,
    values: _Floats,
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    y: _Floats,
    *,
    threads: int = 1,
    isa: str = "",
) -> None: ...
def csr_backward(
    dy: _Floats,
    x: _Floats | None,
    values: _Floats | None,
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    dx: _Floats | None,
    dvalues: _Floats | None,
    *,
    threads: int = 1,
    isa: str = "",
) -> None: ...
def attention(
    q: _Floats,
    k: _Floats,
    v: _Floats,
    y: _Floats,
    *,
    heads: int,
    bias: _Floats | None = None,
    scale: float | None = None,
    threads: int = 1,
    isa: str = "",
    precision: str = "float32",
    nan_is_zero: bool = False,
) -> None:
    """Writes softmax(scale * q k^T + bias) v of each head to y, (batch, tokens, heads * size).

    q, k and v alike, or (batch, heads, tokens, size); k and v may have fewer heads than q has.

    `bias` has the shape (batch, heads, queries, keys), or 1 for some of it. `precision`: bfloat16
    rounds what is multiplied, where there are instructions for that, and in the scalar twin.
    """

def arithmetic() -> list[str]: ...
def measure_flops(name: str, *, seconds: float, threads: int = 1) -> float: ...
def measure_read_bandwidth(size: int, *, seconds: float, threads: int = 1) -> float: ...

class _CudaProduct:
    """Weights packed and uploaded: y = epilogue(x @ W.T)."""

    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    def kernel(self, batch: int) -> str:
        """Name of the kernel that a batch of this size takes."""
    def kernels(self) -> list[str]:
        """Names of all that compute this product, those for few rows of the batch first."""
    def run(
        self,
        x: _Floats,
        bias: _Floats | None = None,
        residual: _Floats | None = None,
        activation: str = "none",
        alpha: float = 0.0,
        beta: float = 0.0,
        residual_mode: int = 0,
        kernel: str = "",
    ) -> _Floats:
        """Copies to the device in the product's type, runs, and copies back.

        `kernel` names the one to run; empty, the batch decides.
        """
    def launch(
        self,
        x: int,
        y: int,
        batch: int,
        stream: int = 0,
        bias: int = 0,
        activation: str = "none",
        alpha: float = 0.0,
        beta: float = 0.0,
    ) -> None:
        """Enqueues the product; x, y and the bias are addresses on the device."""

class cuda:  # noqa: N801
    """A module: the products of libnfcompile_ops_cuda, which lies beside this one.

    Types are named f32, f16 and bf16: `precision` of the stored values, `x_type` of activations.
    Every function but `available` raises RuntimeError where there is no device to use.
    """

    Product: TypeAlias = _CudaProduct
    @staticmethod
    def available() -> str:
        """Empty if products can run here, else why not, in a clause."""
    @staticmethod
    def device() -> dict[str, Any]:
        """name, sm, multiprocessors, memory_bytes, l2_bytes and driver_version."""
    @staticmethod
    def CsrProduct(  # noqa: N802
        values: _Floats,
        indices: _Integers,
        indptr: _Integers,
        in_features: int,
        precision: str = "f32",
        x_type: str = "f32",
    ) -> _CudaProduct: ...
    @staticmethod
    def BsrProduct(  # noqa: N802
        values: _Floats,
        indices: _Integers,
        indptr: _Integers,
        in_features: int,
        precision: str = "f32",
        x_type: str = "f32",
    ) -> _CudaProduct: ...
    @staticmethod
    def BlockDiagonalProduct(  # noqa: N802
        values: _Floats,
        rows: _Integers | None,
        cols: _Integers | None,
        row_stride: int,
        col_stride: int,
        in_features: int,
        out_features: int,
        precision: str = "f32",
        x_type: str = "f32",
    ) -> _CudaProduct: ...
