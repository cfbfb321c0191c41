"""The operator that is the attention of all heads of a layer.

Y[b, q, h] = sum_k softmax_k(scale * sum_i Q[b, h, q, i] * K[b, g, k, i] + bias[b, h, q, k]) *
V[b, g, k], where g = h // (heads / number of heads of K), and heads of Y lie side by side
"""

import onnx.helper
from onnx.defs import OpSchema

from nfcompile.ir.product_schemas import DOMAIN, FLOAT, VERSION, integer, operand

__all__ = ["ATTENTION"]

ATTENTION = OpSchema(
    "MultiHeadAttention",
    DOMAIN,
    VERSION,
    "Y = softmax(scale * Q K^T + bias) V for each head. Heads lie side by side, head h of Q in "
    "columns h * d to (h + 1) * d, or one after the other. K and V may have fewer heads than Q, "
    "a divisor of them: neighbouring heads of Q then share one. Y is zero where there are no keys.",
    inputs=[
        operand("Q", "T", "Queries, (batch, queries, heads * d) or (batch, heads, queries, d)."),
        operand("K", "T", "Keys, (batch, keys, g * d) or (batch, g, keys, d)."),
        operand("V", "T", "Values, (batch, keys, g * e) or (batch, g, keys, e)."),
        operand(
            "bias",
            "T",
            "Added to the scores, shape (batch, heads, queries, keys), or 1 for some of it.",
            optional=True,
        ),
    ],
    outputs=[OpSchema.FormalParameter("Y", "T", "Shape (batch, queries, heads * e).")],
    type_constraints=[FLOAT],
    attributes=[
        integer("heads", "Number of heads of Q."),
        integer(
            "nan_is_zero",
            "1 if weights that are NaN count as 0, so that a query that sees no key gives zero.",
            0,
        ),
        OpSchema.Attribute(
            "scale",
            OpSchema.AttrType.FLOAT,
            "Of the scores; 1 / sqrt(d) if absent.",
            required=False,
        ),
        OpSchema.Attribute(
            "precision",
            onnx.helper.make_attribute("precision", "fp32"),
            "fp32, or bf16: operands of both products may be rounded to it; sums and softmax are "
            "fp32.",
        ),
    ],
)
