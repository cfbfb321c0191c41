"""The operators that run several layers as one."""

from collections.abc import Sequence

from onnx.defs import OpSchema

from nfcompile.ir.product_schemas import (
    DOMAIN,
    FLOAT,
    MATMULS,
    RESIDUAL_MODE,
    VERSION,
    integer,
)

__all__ = ["CHAIN", "CONV_CHAIN", "NORMS"]

_LAYER_LISTS = (
    ("in_features", "Number of columns of W."),
    ("out_features", "Number of rows of W."),
    ("row_strides", "As row_stride of BlockDiagonalMatMul; 0 if rows are given or do not apply."),
    ("col_strides", "As col_stride of BlockDiagonalMatMul; 0 if cols are given or do not apply."),
    ("has_bias", "1 if a bias follows the weights of the layer."),
    ("sources", "Slot that the layer reads."),
    ("residuals", "Slot that the layer adds or multiplies with, or -1."),
    ("residual_modes", RESIDUAL_MODE),
)

NORMS = ("layer-norm", "rms-norm")

_OUTPUTS = ("outputs", "Slots that are given, one per output; the last layer's is one of them.")

_WINDOW_LISTS = (
    ("kernel_shapes", "Height and width of each layer's window."),
    ("strides", "Of each layer's window, along both axes."),
    ("dilations", "Of each layer's window, along both axes."),
    ("pads", "Zeros in front of both axes, then behind them, for each layer."),
)


def _chain(
    name: str, doc: str, y: str, lists: Sequence[tuple[str, str]], *, several: bool
) -> OpSchema:
    types = ("float", "bfloat16", "uint8", "uint16", "int32", "int64")
    required = [
        ("encodings", OpSchema.AttrType.STRING,
         f"{', '.join((*MATMULS, *(NORMS if several else ())))}: one of them per layer, with "
         "commas between."),
        ("activations", OpSchema.AttrType.STRING,
         "As activation of the products, with commas between."),
        *((name, OpSchema.AttrType.INTS, text) for name, text in lists),
        *((f"activation_{name}s", OpSchema.AttrType.FLOATS, f"As activation_{name} of products.")
          for name in ("alpha", "beta")),
        *((("epsilons", OpSchema.AttrType.FLOATS, "What a norm adds to its variance."),)
          if several else ()),
    ]  # fmt: skip
    operands = OpSchema.FormalParameter(
        "operands",
        "T0",
        "The activations, then for each layer its weights, in the order of the product's inputs "
        "without those that are absent, and its bias if has_bias. All but the activations are "
        "constant.",
        param_option=OpSchema.FormalParameterOption.Variadic,
        is_homogeneous=False,
        min_arity=1,
    )
    return OpSchema(
        name,
        DOMAIN,
        VERSION,
        doc,
        inputs=[operands],
        outputs=[
            OpSchema.FormalParameter(
                "Y",
                "T",
                y,
                param_option=OpSchema.FormalParameterOption.Variadic
                if several
                else OpSchema.FormalParameterOption.Single,
                min_arity=1,
            )
        ],
        type_constraints=[
            FLOAT,
            (
                "T0",
                [f"tensor({kind})" for kind in types],
                "Types of activations, weights and indices",
            ),
        ],
        attributes=[
            integer("inputs", "Number of activations.", 1),
            *(OpSchema.Attribute(name, kind, text, required=True) for name, kind, text in required),
        ],
    )


CHAIN = _chain(
    "SparseChain",
    "Several products as one operator, so that activations between them stay in the cache. It "
    "computes on slots: first the activations that it is given, all with the same leading "
    "dimensions, then what each layer gives, in order. A layer reads one slot, and a product may "
    "add another; Y are those that outputs names. Every other list has one entry per layer. A norm "
    "is a layer, too: layer-norm gives (x - mean) / sqrt(variance + epsilon) * scale + bias over "
    "the features of x, rms-norm x / sqrt(mean of squares + epsilon) * scale + bias; its scale "
    "stands where a product has weights. Beside values in bfloat16, what a product reads may be "
    "rounded to it, also where it is given as a result.",
    "Shape (..., out).",
    (*_LAYER_LISTS, _OUTPUTS),
    several=True,
)

CONV_CHAIN = _chain(
    "SparseConvChain",
    "Several convolutions as one operator, slots and layers as of SparseChain. Slots are images "
    "(n, channels, height, width) of any size, all with the same n; a few images at a time go "
    "through all layers. Columns of a layer's W are as of the convolution of its encoding.",
    "Shape (n, out, height, width) of the last layer's result.",
    (*_LAYER_LISTS, *_WINDOW_LISTS),
    several=False,
)
