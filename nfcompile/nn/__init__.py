"""Torch modules with sparse topologies, and how they are initialized."""

from nfcompile.nn.csr_linear import csr_linear
from nfcompile.nn.init import sparse_normal_
from nfcompile.nn.sparse_cascade import SparseCascade
from nfcompile.nn.sparse_conv2d import SparseConv2d
from nfcompile.nn.sparse_linear import SparseLinear
from nfcompile.nn.sparsify import sparsify

__all__ = [
    "SparseCascade",
    "SparseConv2d",
    "SparseLinear",
    "csr_linear",
    "sparse_normal_",
    "sparsify",
]
