"""A case on the device: our layers, their dense weights, and what others make of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_cases import Case
from gpu_layers import Epilogue, Layer

__all__ = ["BYTES", "Network", "relative_error", "torch_type"]

BYTES = {"f32": 4, "f16": 2, "bf16": 2}
"""Of a value of each type."""

_CHECKED_ROWS = 16

Tensor = Any
Call = Callable[[Tensor], Tensor]


def torch_type(torch: Any, kind: str) -> Any:
    """The type of this name in torch."""
    return {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[kind]


def relative_error(torch: Any, x: Tensor, y: Tensor, right: Call) -> float:
    """The norm of the error over that of the exact result, of some rows.

    Args:
        torch: The module.
        x: Activations (batch, in).
        y: What a contender made of them.
        right: Gives the exact result in float64.

    Returns:
        Infinity if anything in y is not finite.
    """
    if not bool(torch.isfinite(y).all()):
        return math.inf
    rows = torch.linspace(0, len(x) - 1, min(len(x), _CHECKED_ROWS), device=x.device).long()
    exact = right(x[rows])
    return float((y[rows].double() - exact).norm() / exact.norm())


class Network:
    """The layers of a case.

    Attributes:
        nonzeros: Multiply-adds per row of the batch.
        stored_bytes: Of our weights and indices.
        moved: Activations that layers read and write per row.
        dense_bytes: Of the dense weights.
    """

    def __init__(self, case: Case, torch: Any, cuda: Any, device: str) -> None:
        self._case, self._torch, self._cuda, self._device = case, torch, cuda, device
        self._layers = case.build()
        self._products: list[list[Any]] = []
        x_type, value_type = case.types
        self._dtype = torch_type(torch, x_type)
        self.nonzeros = sum(layer.values.size for layer in self._layers)
        self.stored_bytes = sum(
            BYTES[value_type] * layer.values.size + layer.index_bytes for layer in self._layers
        )
        self.moved = sum(layer.in_features + layer.out_features for layer in self._layers)
        shapes = [(layer.out_features, layer.in_features) for layer in self._layers]
        if case.multiplied:
            shapes = [(shapes[-1][0], shapes[0][1])]
        self.dense_bytes = BYTES[x_type] * sum(out * inside for out, inside in shapes)

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self._layers[0].in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self._layers[-1].out_features

    def inputs(self, batch: int, count: int) -> list[Tensor]:
        """Random activations; where layers clip they are not negative, so that some stay alive."""
        generator = self._torch.Generator(self._device).manual_seed(batch)
        shape = (batch, self.in_features)
        made = []
        for _ in range(count):
            x = self._torch.randn(shape, generator=generator, device=self._device)
            if self._case.edges:
                x = (x > 0).float()
            made.append(x.to(self._dtype))
        return made

    def exact(self, x: Tensor) -> Tensor:
        """What the layers give in float64, of weights as they are stored."""
        torch, y = self._torch, x.double()
        for layer in self._layers:
            weight = self._dense(layer, torch_type(torch, self._case.types[1])).double()
            y = _finished(torch, y @ weight.T, layer.epilogue)
        return y

    def ours(self, batch: int, copy: int = 0) -> tuple[Call, list[str]]:
        """A call of our kernels, on one of several copies of the weights, and their symbols."""
        torch = self._torch
        while len(self._products) <= copy:
            self._products.append(
                [layer.product(self._cuda, self._case.types) for layer in self._layers]
            )
        products = self._products[copy]
        buffers = [
            torch.empty((batch, layer.out_features), dtype=self._dtype, device=self._device)
            for layer in self._layers
        ]
        epilogues = [self._launched(layer) for layer in self._layers]

        def call(x: Tensor) -> Tensor:
            stream = torch.cuda.current_stream().cuda_stream if self._device == "cuda" else 0
            for product, y, (epilogue, _) in zip(products, buffers, epilogues, strict=True):
                product.launch(x.data_ptr(), y.data_ptr(), batch, stream, **epilogue)
                x = y
            return x

        buffers[-1].fill_(math.nan)  # what is not written is found
        return call, sorted({product.kernel(batch) for product in products})

    def dense(self) -> Call:
        """Dense layers, one after the other, or their one product."""
        torch = self._torch
        weights = [self._dense(layer, self._dtype) for layer in self._layers]
        epilogues = [layer.epilogue for layer in self._layers]
        if self._case.multiplied:
            weights, epilogues = [self._product()], [Epilogue()]

        def call(x: Tensor) -> Tensor:
            for weight, epilogue in zip(weights, epilogues, strict=True):
                x = _finished(torch, torch.nn.functional.linear(x, weight), epilogue)
            return x

        return call

    def torch_bsr(self) -> Call:
        """PyTorch's product with block-sparse rows, of a single layer."""
        torch, (layer,) = self._torch, self._layers
        parts = (torch.from_numpy(item).to(self._device) for item in (layer.indptr, layer.indices))
        values = torch.from_numpy(layer.values).to(self._device, self._dtype)
        shape = (layer.out_features, layer.in_features)
        weight = torch.sparse_bsr_tensor(*parts, values, shape)
        return lambda x: torch.nn.functional.linear(x, weight)

    def torch_two_to_four(self) -> tuple[Call, Tensor]:
        """PyTorch's 2:4 product of a random weight of a layer's shape, and that weight."""
        torch, (layer,) = self._torch, self._layers
        shape = (layer.out_features, layer.in_features)
        generator = torch.Generator(self._device).manual_seed(0)
        weight = torch.randn(shape, generator=generator, device=self._device).to(self._dtype)
        weight = weight * torch.tensor([1, 1, 0, 0], device=self._device).tile(shape[1] // 4)
        weight = weight.to(self._dtype)
        packed = torch.sparse.to_sparse_semi_structured(weight)
        return (lambda x: torch.nn.functional.linear(x, packed)), weight

    def dense_array(self) -> np.ndarray:
        """The weight of a single layer, fp32."""
        (layer,) = self._layers
        found: np.ndarray = self._dense(layer, self._torch.float32).cpu().numpy()
        return found

    def _dense(self, layer: Layer, dtype: Any) -> Tensor:
        torch = self._torch
        rows, cols = (torch.from_numpy(item).to(self._device).long() for item in layer.places())
        shape = (layer.out_features, layer.in_features)
        weight = torch.zeros(shape, dtype=dtype, device=self._device)
        weight[rows, cols] = torch.from_numpy(layer.values).to(self._device, dtype)
        return weight

    def _product(self) -> Tensor:
        torch = self._torch
        weights = (self._dense(layer, torch.float32) for layer in self._layers)
        product = next(weights)
        for weight in weights:
            product = weight @ product
        return product.to(self._dtype)

    def _launched(self, layer: Layer) -> tuple[dict[str, Any], Tensor]:
        """The epilogue as `launch` takes it, and the bias that it points to."""
        epilogue, bias = layer.epilogue, None
        if not epilogue:
            return {}, None
        low, high = epilogue.bounds
        given: dict[str, Any] = {"activation": epilogue.activation, "alpha": low, "beta": high}
        if epilogue.bias is not None:
            shape = (layer.out_features,)
            bias = self._torch.full(shape, epilogue.bias, dtype=self._dtype, device=self._device)
            given["bias"] = bias.data_ptr()
        return given, bias


def _finished(torch: Any, y: Tensor, epilogue: Epilogue) -> Tensor:
    if epilogue.bias is not None:
        y = y + epilogue.bias
    if epilogue.activation == "gelu":
        return torch.nn.functional.gelu(y)
    return y.clamp(*epilogue.bounds) if epilogue.activation == "clip" else y
