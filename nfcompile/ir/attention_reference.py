"""What `MultiHeadAttention` means, in numpy."""

import math

import numpy as np
import scipy.special
from onnx.reference.op_run import OpRun

from nfcompile.ir.schemas import DOMAIN
from nfcompile.sparse.encoding import Array

__all__ = ["MultiHeadAttention"]

_RANK = 4  # of what lies head by head


class MultiHeadAttention(OpRun):
    """See the schema of the same name."""

    op_domain = DOMAIN

    def _run(self, q, k, v, bias=None, heads=1, scale=None, precision="fp32", nan_is_zero=0):  # type: ignore[no-untyped-def]
        q = _by_head(q, heads)
        k = k if k.ndim == q.ndim else _by_head(k, k.shape[2] // q.shape[3])
        v = _by_head(v, k.shape[1])
        k, v = (np.repeat(x, heads // k.shape[1], axis=1) for x in (k, v))
        scores = np.einsum("bhqi,bhki->bhqk", q, k)
        scores *= 1 / math.sqrt(q.shape[-1]) if scale is None else scale
        scores = scores if bias is None else scores + bias
        # Without keys there is no maximum to subtract, and nothing to weigh.
        weights = scipy.special.softmax(scores, axis=-1) if scores.shape[-1] else scores
        weights = np.where(np.isnan(weights), 0, weights) if nan_is_zero else weights
        y = np.einsum("bhqk,bhke->bqhe", weights, v)
        return (y.reshape(*y.shape[:2], heads * y.shape[3]).astype(np.float32),)


def _by_head(x: Array, heads: int) -> Array:
    """(batch, heads, tokens, size of a head), which x may be already."""
    if x.ndim == _RANK:
        return x
    return np.moveaxis(x.reshape(*x.shape[:2], heads, x.shape[2] // heads), 2, 1)
