"""Prints one page of several files that a suite wrote: the tables of docs/speed.md.

    nfcompile bench --suite cpu --cases mlp-block --json a.json
    nfcompile bench --suite cpu --cases ffn --batch 1,7,16 --json b.json
    python benchmarks/speed_page.py a.json b.json

What it ran on and the roofline are told of the first file.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed_table import cell_of

from nfcompile.bench.contenders import CONTENDERS
from nfcompile.bench.report import Results
from nfcompile.bench.roofline import Level, Roofline
from nfcompile.bench.suite import Plan
from nfcompile.bench.suites import SUITES


def main(paths: Sequence[str]) -> None:
    """Reads the files and prints the page."""
    print(page([json.loads(Path(path).read_text()) for path in paths]), end="")


def page(files: Sequence[dict[str, Any]]) -> str:
    """The page of what several runs of one suite gave."""
    names = {name for data in files for name in data["cases"]}
    suites = SUITES["cpu"], SUITES["networks"]
    suite = next(item for item in suites if names <= {case.name for case in item.cases})
    engines = {name for data in files for name in data["engines"]}
    rooflines = [roofline_of(item) for item in files[0]["roofline"]]
    results = Results(
        files[0]["environment"],
        Plan(),
        [case for case in suite.cases if case.name in names],
        [item for item in CONTENDERS if item.name in engines],
        {item.threads: item for item in rooflines},
        [cell_of(item) for data in files for item in data["cells"]],
        all(data["complete"] for data in files),
        suite.title,
    )
    return results.to_markdown()


def roofline_of(item: dict[str, Any]) -> Roofline:
    """A roofline as the suite writes it."""
    return Roofline(**{**item, "levels": tuple(Level(**level) for level in item["levels"])})


if __name__ == "__main__":
    main(sys.argv[1:])
