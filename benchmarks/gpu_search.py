"""Looks for the fastest variants of kernels: python benchmarks/gpu_search.py FOLDER.

Where FOLDER does not exist, compiles all alternatives into it, which takes Triton and no GPU; where
it does, times them, which takes PyTorch with CUDA and no Triton: so one machine can prepare what a
second measures. Prints, slot by slot, the entries that `nfcompile/gpu/variants.py` may have, the
fastest first; each is compared with float64 before it is timed.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpu_alternatives import Slot, alternative, build, built
from gpu_bench import LIMITS
from gpu_cases import Case
from gpu_clock import Clock, GpuClock, copies_beyond_cache, take_turns
from gpu_launch import Launcher, arguments
from gpu_layers import BF16, Layer, block_diagonal, bsr
from gpu_network import BYTES, Network, relative_error, torch_type

from nfcompile.gpu.image import Image
from nfcompile.gpu.variants import Entry, Variant

__all__ = ["OnDevice", "search", "wide"]

_N = {"bsr": 8192, "block_diagonal": 16384, "block_diagonal_wide": 16384}
_BATCHES = (256, 4096)
_ROUNDS = 5

Run = Callable[[Image, Variant, Layer, int], float]


def search(
    images: Mapping[tuple[Slot, Entry], Image | str], run: Run
) -> Iterator[tuple[Slot, int, list[tuple[float, Entry]]]]:
    """Yields for each slot and batch size the microseconds of its entries, the fastest first.

    Args:
        images: What `build` made.
        run: Gives microseconds; raises what it likes.
    """
    for slot in dict.fromkeys(slot for slot, _ in images):
        layer = _layer(slot)
        for batch in _BATCHES:
            found = []
            for (of, entry), image in images.items():
                if of != slot or isinstance(image, str):
                    continue
                try:
                    found.append((run(image, alternative(slot, entry), layer, batch), entry))
                except Exception as error:  # the driver's, or a wrong result
                    print(f"{slot} {entry}: {error}", file=sys.stderr)
            yield slot, batch, sorted(found)


def _layer(slot: Slot) -> Layer:
    kernel, size = slot
    n = _N[kernel]
    return bsr(n, n, size, 0.1) if kernel == "bsr" else block_diagonal(n, size, n // size)


class OnDevice:
    """Runs alternatives on the GPU."""

    def __init__(self, torch: Any, clock: Clock, l2_bytes: int) -> None:
        self._torch, self._clock, self._l2_bytes = torch, clock, l2_bytes

    def __call__(self, image: Image, variant: Variant, layer: Layer, batch: int) -> float:
        """Microseconds of one launch.

        Raises:
            ValueError: If the result is wrong.
            RuntimeError: If the driver fails.
        """
        torch = self._torch
        network = Network(Case("", "", lambda: [layer], BF16, ()), torch, None, "cuda")
        moved = batch * network.moved * BYTES["bf16"]
        copies, _ = copies_beyond_cache(network.stored_bytes + moved, self._l2_bytes)
        kernel = Launcher(image)
        grid = -(-layer.out_features // variant.outputs), -(-batch // variant.rows)
        calls, outputs = [], []
        for x in network.inputs(batch, copies):
            y = torch.full((batch, layer.out_features), math.nan, dtype=x.dtype, device="cuda")
            arrays = _on_device(torch, layer, variant)
            strides = layer.strides if layer.indices is None else ()
            shape = batch, layer.in_features, layer.out_features
            given = arguments(x, arrays, y, strides, shape)
            # What is pointed to must live as long as the call.
            calls.append(lambda given=given, keep=(x, arrays, y): kernel.launch(
                grid, given, torch.cuda.current_stream().cuda_stream))  # fmt: skip
            outputs.append((x, y))
        calls[0]()
        torch.cuda.synchronize()
        error = relative_error(torch, *outputs[0], network.exact)
        if not error <= LIMITS["bf16"]:
            raise ValueError(f"wrong: relative error {error:.2g}")
        return take_turns({"it": self._clock(calls)}, _ROUNDS)["it"].median_us


def _on_device(torch: Any, layer: Layer, variant: Variant) -> list[Any]:
    values = torch.from_numpy(layer.values)
    if variant.kernel == "block_diagonal_wide":
        values = wide(torch, values, variant.constants["G"])
    values = values.to("cuda", torch_type(torch, "bf16"))
    if layer.indices is None or layer.indptr is None:
        return [values]
    columns = layer.indices * layer.values.shape[-1]
    lists = (torch.from_numpy(item).to("cuda") for item in (layer.indptr, columns))
    return [values, *lists]


def wide(torch: Any, values: Any, group: int) -> Any:
    """Each G blocks (B, SIZE, SIZE) as a dense one, its rows and columns over (element, block)."""
    blocks, size, _ = values.shape
    wide = torch.zeros((blocks // group, size, group, size, group))
    for g in range(group):
        wide[:, :, g, :, g] = values[g::group]
    return wide


def main() -> None:
    """Compiles, or measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the compiled alternatives")
    folder = parser.parse_args().folder
    if not folder.exists():
        build(folder)
        print(f"compiled into {folder}: run this again where there is a GPU", file=sys.stderr)
        return
    import torch

    torch.zeros(1, device="cuda")  # makes the context that kernels are loaded into
    images = built(folder)
    l2_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    run = OnDevice(torch, GpuClock(torch), l2_bytes)
    for (kernel, size), batch, found in search(images, run):
        print(f"{kernel}, blocks of {size}, batch {batch}")
        for us, entry in found:
            print(f"  {us:8.1f} us  {entry}", flush=True)


if __name__ == "__main__":
    main()
