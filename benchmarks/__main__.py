"""`python -m benchmarks NAME [--json]`: a table, or with --json one object a line: name ours peer ratio unit."""

import argparse
import importlib
import json
import warnings

from rich.console import Console
from rich.table import Table

# Modules with WHAT is measured, the PEER's name, and figures().
NAMES = ("extractor", "training", "bootstrap", "evaluation", "annotations", "overhead", "study")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    benchmark = importlib.import_module(f"benchmarks.{arguments.name}")
    table = Table(benchmark.WHAT, "ours", benchmark.PEER, "ratio", "unit")
    for figure in benchmark.figures():
        row = {
            "name": figure.name,
            "ours": figure.ours,
            "peer": figure.peer,
            "ratio": figure.ratio,
            "unit": figure.unit,
        }
        if arguments.json:
            print(json.dumps(row), flush=True)
        table.add_row(figure.name, f"{figure.ours:.3f}", f"{figure.peer:.3f}", f"{figure.ratio:.2f}", figure.unit)
    if not arguments.json:
        Console().print(table)


if __name__ == "__main__":
    main()
