"""Compiles all kernels ahead of time: `python -m nfcompile.gpu.aot FOLDER`.

Writes `images.bin`, all images one after the other, and `images.inc`, a line of C++ about each,
of the members of `nfcompile::cuda::Image`. Needs Triton and no GPU.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from nfcompile.gpu.image import ARCHITECTURES, Image, compile_images
from nfcompile.gpu.variants import VARIANTS, Variant

__all__ = ["build", "main"]

_ALIGNMENT = 16
_PROCESSES = min(len(os.sched_getaffinity(0)), 16)
_ORDER = (("SIZE", "R"), ("RS",), ("G",), ("BM",), ("RN",))
"""Names of the constants in C++, each with those that it has here."""


def _prepare(cache: str) -> None:
    """Sets what Triton reads, in a process that has not imported it yet."""
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ["TRITON_CACHE_DIR"] = cache
    os.environ["TRITON_DISABLE_LINE_INFO"] = "1"


def _compile(variant: Variant, architecture: int) -> list[Image] | str:
    """Images, or one line that says why there are none."""
    try:
        return compile_images(variant, architecture)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return f"{variant.symbol} does not compile for sm_{architecture}: {reason}"


def _line(variant: Variant, image: Image, offset: int) -> str:
    constants = variant.constants
    numbers = [next((constants[n] for n in names if n in constants), 0) for names in _ORDER]
    aligned = constants.get("ALIGNED", 0)
    numbers += [constants.get(name, aligned) for name in ("X_STRIDED", "Y_STRIDED")]
    texts = [variant.symbol, variant.kernel, variant.x_type, variant.value_type]
    fields = [f'"{text}"' for text in [*texts, variant.index_type]]
    fields += [str(image.architecture), str(int(image.is_ptx)), str(offset), str(len(image.data))]
    fields += [str(image.warps), str(image.shared_bytes), f'"{image.entry}"']
    return f"{{{', '.join(fields)}, {{{', '.join(map(str, numbers))}}}}},\n"


def _compiled(variants: Sequence[Variant], cache: str) -> Iterator[tuple[Variant, Image]]:
    jobs = [(item, sm) for item in variants for sm in ARCHITECTURES if sm >= item.least]
    count = len(jobs)
    # Started afresh: a process that has loaded Triton would not see what `_prepare` sets.
    with ProcessPoolExecutor(
        _PROCESSES, mp_context=get_context("spawn"), initializer=_prepare, initargs=(cache,)
    ) as pool:
        results = pool.map(_compile, *zip(*jobs, strict=True))
        for done, ((variant, _), result) in enumerate(zip(jobs, results, strict=True), start=1):
            if isinstance(result, str):
                pool.shutdown(wait=False, cancel_futures=True)
                raise RuntimeError(result)
            if done % 50 == 0 or done == count:
                print(f"kernels: {done} of {count} compiled", file=sys.stderr, flush=True)
            yield from zip(repeat(variant), result)


def build(folder: Path, variants: Sequence[Variant] = VARIANTS) -> None:
    """Writes `images.bin` and `images.inc` into a folder, which is made if it is missing.

    Raises:
        RuntimeError: With one line, if a kernel does not compile.
        OSError: If the folder cannot be written.
    """
    binary = bytearray()
    lines = []
    with tempfile.TemporaryDirectory(prefix="nfcompile-triton-") as cache:
        for variant, image in _compiled(variants, cache):
            binary.extend(bytes(-len(binary) % _ALIGNMENT))
            lines.append(_line(variant, image, len(binary)))
            binary.extend(image.data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.bin").write_bytes(binary)
    (folder / "images.inc").write_text("".join(lines))


def main(arguments: Sequence[str]) -> int:
    """Runs the command; gives its exit code, after one line that says what is wrong."""
    if len(arguments) != 1:
        print("usage: python -m nfcompile.gpu.aot FOLDER", file=sys.stderr)
        return 2
    if find_spec("triton") is None:
        print("compiling kernels needs Triton: pip install triton", file=sys.stderr)
        return 4
    started = time.perf_counter()
    try:
        build(Path(arguments[0]))
    except (RuntimeError, OSError, BrokenProcessPool) as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1
    seconds = time.perf_counter() - started
    print(f"kernels: {len(VARIANTS)} variants in {seconds:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
