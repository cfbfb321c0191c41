"""The operators that are one product or one convolution: a list each, by encoding.

Y[..., o]   = epilogue(sum_i W[o, i] * X[..., i])               products
Y[n, o, p]  = epilogue(sum_i W[o, i] * window(X[n], p)[i])      convolutions
epilogue(t) = t + bias[o], + residual unless it comes after, activation, + residual if it does
"""

import onnx
from onnx.defs import OpSchema

__all__ = [
    "ACTIVATIONS",
    "CONVS",
    "DOMAIN",
    "EPILOGUE_ATTRIBUTES",
    "FLOAT",
    "MATMULS",
    "POINTER",
    "VERSION",
    "integer",
    "operand",
]

DOMAIN = "nfcompile"
VERSION = 1

ACTIVATIONS = (
    "none",
    "relu",
    "leaky_relu",
    "clip",
    "gelu",
    "gelu_tanh",
    "silu",
    "sigmoid",
    "tanh",
    "hard_swish",
    "elu",
)
"""Values of the attribute `activation`; `leaky_relu` and `elu` take `activation_alpha` as alpha,
`clip` takes `activation_alpha` and `activation_beta` as its bounds."""

_INDEX = ("U", ["tensor(uint8)", "tensor(uint16)", "tensor(int32)"], "Narrow index type")
POINTER = ("P", ["tensor(int32)", "tensor(int64)"], "Type of row starts")
FLOAT = ("T", ["tensor(float)"], "Type of activations")
_WEIGHT = ("V", ["tensor(float)", "tensor(bfloat16)"], "Type of weights; bfloat16 runs in bf16")
_HALVES = ["tensor(float16)", "tensor(bfloat16)"]
# Half types are CUDA's.
_PRODUCT_TYPES = [
    ("T", [*FLOAT[1], *_HALVES], FLOAT[2]),
    ("V", [*FLOAT[1], *_HALVES], "Type of weights: float or bfloat16 where X is float, else X's"),
]


def operand(name: str, kind: str, text: str, optional: bool = False) -> OpSchema.FormalParameter:
    """An input of type `kind`."""
    option = (
        OpSchema.FormalParameterOption.Optional
        if optional
        else OpSchema.FormalParameterOption.Single
    )
    return OpSchema.FormalParameter(name, kind, text, param_option=option)


def integer(name: str, text: str, default: int | None = None) -> OpSchema.Attribute:
    """An attribute, required unless it has a default."""
    if default is None:
        return OpSchema.Attribute(name, OpSchema.AttrType.INT, text, required=True)
    return OpSchema.Attribute(name, onnx.helper.make_attribute(name, default), text)


_X = operand(
    "X", "T", "Activations of shape (..., in); leading dimensions are the batch, any size."
)
_EPILOGUE_INPUTS = [
    operand("bias", "T", "Added to every output row, shape (out,).", optional=True),
    operand("residual", "T", "Added or multiplied elementwise, shape of Y.", optional=True),
]
RESIDUAL_MODE = (
    "What becomes of the residual: 0 added before the activation, 1 added after it, 2 multiplied "
    "with what it gives."
)
EPILOGUE_ATTRIBUTES = [
    OpSchema.Attribute(
        "activation",
        onnx.helper.make_attribute("activation", "none"),
        f"One of {', '.join(ACTIVATIONS)}.",
    ),
    OpSchema.Attribute(
        "activation_alpha",
        onnx.helper.make_attribute("activation_alpha", 0.0),
        "First parameter of the activation.",
    ),
    OpSchema.Attribute(
        "activation_beta",
        onnx.helper.make_attribute("activation_beta", 0.0),
        "Second parameter of the activation.",
    ),
    integer("residual_mode", RESIDUAL_MODE, 0),
]
_EPILOGUE_NAMES = {item.name for item in EPILOGUE_ATTRIBUTES}


def _matmul(
    name: str,
    doc: str,
    weights: list[OpSchema.FormalParameter],
    attributes: list[OpSchema.Attribute],
    types: list[tuple[str, list[str], str]],
    *,
    x: OpSchema.FormalParameter = _X,
    y: str = "Shape (..., out).",
    floats: list[tuple[str, list[str], str]] = _PRODUCT_TYPES,
) -> OpSchema:
    return OpSchema(
        name,
        DOMAIN,
        VERSION,
        doc,
        inputs=[x, *weights, *_EPILOGUE_INPUTS],
        outputs=[OpSchema.FormalParameter("Y", "T", y)],
        type_constraints=[*floats, *types],
        attributes=[*attributes, *EPILOGUE_ATTRIBUTES],
    )


MATMULS: dict[str, OpSchema] = {
    "csr": _matmul(
        "CsrMatMul",
        "W in compressed sparse rows.",
        [
            operand("values", "V", "Non-zeros, shape (nnz,). Constant."),
            operand("indices", "U", "Column of each value, shape (nnz,). Constant."),
            operand("indptr", "P", "Start of each row, shape (out + 1,). Constant."),
        ],
        [integer("in_features", "Number of columns of W.")],
        [_INDEX, POINTER],
    ),
    "bsr": _matmul(
        "BsrMatMul",
        "W in block-sparse rows; out and in are multiples of R and C.",
        [
            operand("values", "V", "Blocks, shape (blocks, R, C). Constant."),
            operand("indices", "U", "Block column of each block, shape (blocks,). Constant."),
            operand("indptr", "P", "Start of each block row, shape (out / R + 1,). Constant."),
        ],
        [integer("in_features", "Number of columns of W.")],
        [_INDEX, POINTER],
    ),
    "block-diagonal": _matmul(
        "BlockDiagonalMatMul",
        "W of dense blocks: block b, row r writes output rows[b*R + r] and column c reads input "
        "cols[b*C + c]; -1 is padding. Without rows (cols) the index of entry e of block b is "
        "(b // s) * (R * s) + e * s + b % s with s = row_stride (col_stride, and C for R).",
        [
            operand("values", "V", "Blocks, shape (B, R, C). Constant."),
            operand("rows", "I", "Shape (B * R,). Constant.", optional=True),
            operand("cols", "I", "Shape (B * C,). Constant.", optional=True),
        ],
        [
            integer("in_features", "Number of columns of W."),
            integer("out_features", "Number of rows of W."),
            integer("row_stride", "Stride of the rule for rows; 0 if rows are given.", 0),
            integer("col_stride", "Stride of the rule for cols; 0 if cols are given.", 0),
        ],
        [("I", ["tensor(int32)"], "Index type")],
    ),
}
"""The matrix products by the encoding that they run."""

_WINDOW = [
    OpSchema.Attribute(name, OpSchema.AttrType.INTS, text, required=True)
    for name, text in (
        ("kernel_shape", "Height and width of the window."),
        ("strides", "Of the window, along both axes."),
        ("dilations", "Of the window, along both axes."),
        ("pads", "Zeros in front of both axes, then behind them."),
    )
]


def _conv(product: OpSchema) -> OpSchema:
    types = [item for item in product.type_constraints if item.type_param_str not in "TV"]
    own = [item for name, item in product.attributes.items() if name not in _EPILOGUE_NAMES]
    return _matmul(
        product.name.replace("MatMul", "Conv"),
        f"{product.doc} Its columns are what a window sees of all channels: column "
        "(c * height + i) * width + j is element (i, j) in channel c. The window has no groups: "
        "those are zeros of W.",
        list(product.inputs)[1:-2],
        [*own, *_WINDOW],
        [(item.type_param_str, list(item.allowed_type_strs), item.description) for item in types],
        x=operand("X", "T", "Images, shape (n, channels, height, width)."),
        y="Shape (n, out, places of the window along height, along width).",
        floats=[FLOAT, _WEIGHT],
    )


CONVS: dict[str, OpSchema] = {kind: _conv(product) for kind, product in MATMULS.items()}
"""The convolutions by the encoding that they run; inputs are those of the product."""
