"""`python -m benchmarks NAME [--json]`: a line for each figure, or with --json an object: name ours peer ratio unit."""

import argparse
import importlib
import json
import warnings

# Modules with WHAT is measured, the PEER's name, and figures(); those ON_DEVICES take a device.
NAMES = ("extractor", "training", "bootstrap", "evaluation", "annotations", "overhead", "study")
ON_DEVICES = ("extractor", "training")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help=f"of {' and '.join(ON_DEVICES)}; default: a GPU if any"
    )
    arguments = parser.parse_args()
    if arguments.device and arguments.name not in ON_DEVICES:
        parser.error(f"{arguments.name} takes no --device; {' and '.join(ON_DEVICES)} do")
    warnings.filterwarnings("ignore")
    benchmark = importlib.import_module(f"benchmarks.{arguments.name}")
    if not arguments.json:
        print(f"{benchmark.WHAT:70} {'ours':>10} {benchmark.PEER:>16} {'ratio':>8} unit")
    for figure in benchmark.figures(device=arguments.device) if arguments.name in ON_DEVICES else benchmark.figures():
        row = {
            "name": figure.name,
            "ours": figure.ours,
            "peer": figure.peer,
            "ratio": figure.ratio,
            "unit": figure.unit,
        }
        if arguments.json:
            print(json.dumps(row), flush=True)
        else:
            print(
                f"{figure.name:70} {figure.ours:10.4f} {figure.peer:16.4f} {figure.ratio:8.2f} {figure.unit}",
                flush=True,
            )


if __name__ == "__main__":
    main()
