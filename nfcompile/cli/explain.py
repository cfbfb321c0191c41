"""`nfcompile explain`: why is each layer stored and run the way it is?"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from nfcompile.cli.options import Json
from nfcompile.cli.output import (
    check_json,
    guarded,
    human_bytes,
    show_table,
    table,
    talk,
    write_json,
)
from nfcompile.errors import UnsupportedModelError

__all__ = ["explain_command"]


@guarded
def explain_command(
    model: Annotated[Path, typer.Argument(help="A compiled model.")], json: Json = None
) -> None:
    """Show each layer's pattern, encoding, kernel and the reason.

    In the JSON, estimates_us are the cost model's microseconds by pattern, summed over the batches;
    measured_us those that compile --tune measured, at each of them, or nothing.
    """
    from nfcompile.frontend.onnx_file import read_model
    from nfcompile.ir.remarks import decisions, remarks
    from nfcompile.target import isa

    check_json(json)
    read = read_model(model)
    if "nfcompile.version" not in read.metadata_props:
        raise UnsupportedModelError(f"{model} was not compiled by nfcompile: nothing to explain")
    target = read.metadata_props["nfcompile.target"]
    precision = read.metadata_props.get("nfcompile.precision", "fp32")
    rows = [
        {
            **dataclasses.asdict(item),
            "kernel": kernel_name(item.encoding, target, isa(), precision),
        }
        for item in decisions(read)
    ]
    if json is not None:
        said = [dataclasses.asdict(item) for item in remarks(read)]
        write_json(
            {"target": target, "precision": precision, "layers": rows, "remarks": said}, json
        )
    columns = (
        "layer",
        "out x in",
        ">density",
        "pattern",
        "encoding",
        "kernel",
        ">bytes",
        "reason",
    )
    made = table(f"{model.name} for {target}, sparse weights in {precision}", *columns)
    for row in rows:
        made.add_row(
            row["layer"],
            f"{row['shape'][0]}x{row['shape'][1]}",
            f"{row['density']:.3f}",
            row["pattern"],
            row["encoding"],
            row["kernel"],
            human_bytes(row["bytes_encoded"]),
            row["reason"],
        )
    show_table(made, stderr=json == "-")
    for remark in remarks(read):
        talk(f"{remark.kind}: {remark}")


def kernel_name(encoding: str, target: str, isa: str, precision: str) -> str:
    """What runs a layer here: our kernels for small batches and for tiles, or the runtime's own."""
    if encoding == "dense":
        return "runtime's own"
    if target == "portable":
        return "runtime's batched MatMul"
    if target == "ort-cuda":
        return f"{encoding.replace('-', '_')} on CUDA"
    fp32_isa = "avx512" if isa.endswith("_bf16") else isa  # which brings no fp32 kernels of its own
    pairs = "avx512_bf16" if isa == "amx_bf16" else isa
    tile = f"tile_bf16_{pairs}" if precision == "bf16" else f"tile_f32_{fp32_isa}"
    if precision == "bf16" and isa == "amx_bf16" and encoding != "csr":
        tile += " or amx_bf16"  # where blocks are of 16 and more
    if encoding == "csr" and tile == "tile_f32_avx512":
        tile = "generated_f32_avx512"
    rows = f"f32_{fp32_isa}"
    if precision == "bf16" and pairs == "avx512_bf16":
        rows = f"bf16_{pairs}"
    return f"{encoding.replace('-', '_')}_{rows}, {tile}"
