"""Encodings of sparse weights. Only numpy and scipy are needed here."""

from nfcompile.sparse.block_diagonal import BlockDiagonalTensor
from nfcompile.sparse.bsr import BsrTensor, count_blocks
from nfcompile.sparse.components import find_block_diagonal
from nfcompile.sparse.csr import CsrTensor
from nfcompile.sparse.dense import DenseTensor
from nfcompile.sparse.encoding import Encoding

__all__ = [
    "BlockDiagonalTensor",
    "BsrTensor",
    "CsrTensor",
    "DenseTensor",
    "Encoding",
    "count_blocks",
    "find_block_diagonal",
]
