"""Compiles and runs all cases of `onnx.backend.test`, and writes docs/backend-test.md.

    python benchmarks/backend_test.py            # prints the counts too

Exits with 1 if a case fails that ONNX Runtime runs before it is compiled.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
import onnxruntime
from backend_cases import FORCED, KINDS, Outcome, cases, check, with_constants

PAGE = Path(__file__).parents[1] / "docs" / "backend-test.md"
SWEEPS = ("as they come", "inputs as constants", "inputs with defaults")
LOCALE = "locale"
"""What the reason says where it is the machine that lacks something."""


def sweep(name: str, part: slice = slice(None)) -> dict[str, list[Outcome]]:
    """Outcomes by kind of one of `SWEEPS`, or of a part of each kind's cases."""
    found: dict[str, list[Outcome]] = {}
    for kind in KINDS:
        chosen = cases(kind)[part]
        if name == SWEEPS[0]:
            found[kind] = [check(case) for case in chosen]
            continue
        made = (with_constants(case, replaceable=name == SWEEPS[2]) for case in chosen)
        found[kind] = [check(case, passes=FORCED) for case in made if case is not None]
    return found


def excluded(page: str) -> set[str]:
    """The names that a page written by this command excludes as they come."""
    listed = page.partition(f"## Excluded {SWEEPS[0]}\n")[2].partition("\n## ")[0]
    return {line[3:].strip("`") for line in listed.splitlines() if line.startswith("- `")}


def versions() -> str:
    """What the counts hold for."""
    return f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"


def counts(found: dict[str, dict[str, list[Outcome]]]) -> str:
    """A table: a row per sweep and kind."""
    rows = [
        "| sweep | kind | run | passed | of them untouched | layers made sparse "
        "| excluded | failed |",
        "|" + "---|" * 8,
    ]
    for name, kinds in found.items():
        total = [item for outcomes in kinds.values() for item in outcomes]
        rows += [_row(name, kind, outcomes) for kind, outcomes in kinds.items() if outcomes]
        rows.append(_row(name, "**all**", total))
    return "\n".join(rows)


def _row(sweep_name: str, kind: str, outcomes: Sequence[Outcome]) -> str:
    status = [item.status for item in outcomes]
    cells: Iterable[object] = (
        sweep_name,
        kind,
        len(outcomes),
        status.count("passed"),
        sum(item.untouched for item in outcomes),
        sum(item.sparse for item in outcomes),
        status.count("excluded"),
        status.count("failed"),
    )
    return f"| {' | '.join(map(str, cells))} |"


def page(found: dict[str, dict[str, list[Outcome]]]) -> str:
    """The page in docs/."""
    lines = [INTRODUCTION.format(versions=versions()), counts(found), ""]
    listed: set[str] = set()
    for name, kinds in found.items():
        reasons: dict[str, list[str]] = {}
        for item in (item for outcomes in kinds.values() for item in outcomes):
            if item.status == "excluded" and item.name not in listed:
                reasons.setdefault(item.reason, []).append(item.name)
        lines += [f"## Excluded {name}{' too' * bool(listed)}", ""]
        lines += [] if reasons else ["None besides those above.", ""]
        for reason, names in sorted(reasons.items()):
            cases = (f"- `{item}`" for item in sorted(names))
            lines += [f"### {reason} ({len(names)})", "", *cases, ""]
            listed.update(names)
    return "\n".join(lines)


INTRODUCTION = """# Every case of onnx.backend.test

Written by `make backend-test` ({versions}). ONNX Runtime runs each model before and after it is
compiled, on the case's own inputs, and all outputs are compared;
`tests/end_to_end/test_backend.py` does the same. A case is **excluded** only if ONNX Runtime cannot
load or run the model as it came; `compile` must refuse it in one line then. **Untouched**: of an
opset below 11, which passes do not know, so that the model is written as it came.

- *As they come*: the default pipeline.
- *Inputs as constants*: all inputs but the first become initializers, 70 % of the weights of
  MatMul, Gemm and Conv become zero, and every layer that can run sparse has to. Left out are cases
  with one input, or an opset below 11.
- *Inputs with defaults*: all inputs but the first become initializers too, with other values than
  those that are fed, so that whatever takes a default for a constant computes something else.
"""


def main() -> int:
    """Runs all sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="where the page goes")
    output = parser.parse_args().output
    found = {name: sweep(name) for name in SWEEPS}
    output.write_text(page(found))
    print(counts(found))
    failed = [
        i for kinds in found.values() for o in kinds.values() for i in o if i.status == "failed"
    ]
    for item in failed:
        print(f"{item.name}: {item.reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
