"""What the layers whose weight can be sparse have in common: a view of a node and its constant."""

import abc
from collections.abc import Hashable
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.sparse import CsrTensor, Encoding

__all__ = ["Layer"]


@dataclass(frozen=True)
class Layer(abc.ABC):
    """A node with activations, a constant weight, and maybe a bias as its inputs.

    Attributes:
        node: The node.
    """

    node: ir.Node

    @property
    def x(self) -> ir.Value:
        """Activations."""
        value = self.node.inputs[0]
        assert value is not None
        return value

    @property
    def weight(self) -> ir.Value:
        """The constant."""
        value = self.node.inputs[1]
        assert value is not None
        return value

    @property
    def dtype(self) -> ir.DataType:
        """Type of the constant."""
        assert self.weight.const_value is not None
        return self.weight.const_value.dtype

    @property
    def bias(self) -> ir.Value | None:
        """What the node adds, or None."""
        return self.node.inputs[2] if len(self.node.inputs) > 2 else None

    @property
    def name(self) -> str:
        """What messages call the layer."""
        if self.node.name:
            return self.node.name
        shared = len(self.weight.uses()) > 1
        return (
            f"{self.weight.name}/{self.node.outputs[0].name}" if shared else str(self.weight.name)
        )

    @property
    @abc.abstractmethod
    def out_in(self) -> tuple[int, int]:
        """(out, in) of the weight as a matrix."""

    @property
    def dense_shape(self) -> tuple[int, int]:
        """(out, in) of what a dense layer multiplies."""
        return self.out_in

    @property
    @abc.abstractmethod
    def way(self) -> Hashable:
        """What layers that share one encoding must share besides the weight."""

    @abc.abstractmethod
    def csr(self) -> CsrTensor:
        """The non-zeros of the matrix, without factors of the node."""

    @abc.abstractmethod
    def encoded(self, encoding: Encoding, precision: str = "fp32") -> EncodedTensor:
        """The constant over an encoding of the matrix."""
