"""The operators' reference page, written from their schemas."""

import onnx
from onnx.defs import OpSchema

from nfcompile.ir.schemas import DOMAIN, SCHEMAS, VERSION

__all__ = ["operators_page"]


_OPTIONS = {
    OpSchema.FormalParameterOption.Optional: " (optional)",
    OpSchema.FormalParameterOption.Variadic: " (any number)",
}


def operators_page() -> str:
    """Markdown for `docs/operators.md`: `python -m nfcompile.ir.documentation` prints it."""
    lines = [
        f"# Operators of domain `{DOMAIN}`, version {VERSION}",
        "",
        "Generated from `nfcompile/ir/schemas.py` by `python -m nfcompile.ir.documentation`. What",
        "they compute is written in numpy in `nfcompile/ir/reference.py`, for `onnx.reference`.",
        "",
        "    Y[..., o]   = epilogue(sum_i W[o, i] * X[..., i])               products",
        "    Y[n, o, p]  = epilogue(sum_i W[o, i] * window(X[n], p)[i])      convolutions",
        "    epilogue(t) = t + bias[o], + residual if residual_mode is 0, activation, "
        "+ residual if it is 1, * residual if it is 2",
    ]
    for schema in SCHEMAS:
        lines += [
            "",
            f"## {schema.name}",
            "",
            str(schema.doc),
            "",
            *_inputs(schema),
            "",
            *_attributes(schema),
        ]
    return "\n".join(lines) + "\n"


def _inputs(schema: OpSchema) -> list[str]:
    types = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
    rows = ["| input or output | type | |", "|---|---|---|"]
    for item in (*schema.inputs, *schema.outputs):
        optional = _OPTIONS.get(item.option, "")
        kinds = ", ".join(sorted(types[item.type_str]))
        rows.append(f"| `{item.name}`{optional} | {kinds} | {item.description} |")
    return rows


def _attributes(schema: OpSchema) -> list[str]:
    rows = ["| attribute | default | |", "|---|---|---|"]
    for name, item in sorted(schema.attributes.items()):
        default = "required"
        if not item.required and item.default_value.type == onnx.AttributeProto.UNDEFINED:
            default = ""
        elif not item.required:
            value = onnx.helper.get_attribute_value(item.default_value)
            default = f"`{value.decode() if isinstance(value, bytes) else value}`"
        rows.append(f"| `{name}` | {default} | {item.description} |")
    return rows


if __name__ == "__main__":
    print(operators_page(), end="")
