"""Torch modules with sparse topologies, and how they are initialized."""

from nfcompile.nn.csr_linear import csr_linear
from nfcompile.nn.init import sparse_glorot_normal_
from nfcompile.nn.sparse_cascade import SparseCascade
from nfcompile.nn.sparse_linear import SparseLinear

__all__ = ["SparseCascade", "SparseLinear", "csr_linear", "sparse_glorot_normal_"]
