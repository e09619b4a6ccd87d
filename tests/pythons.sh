#!/bin/sh
# Sets up this commit with each Python that is named, in a folder of its own, and trains a tiny trial there.
#   sh tests/pythons.sh PYTHON...     such as python3.12 /usr/bin/python3.13; PIP_* variables reach pip
set -eu
[ $# -gt 0 ] || { echo "error: name the Pythons to try, such as: sh tests/pythons.sh python3.12 python3.13" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
for python in "$@"; do
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    git clone --quiet "$here" "$folder/groie"
    (
        cd "$folder/groie"
        "$python" --version
        make setup PYTHON="$python"
        .venv/bin/python run.py schedule.epochs=1 dataset.train_images=16 dataset.val_images=8
        .venv/bin/python -m analysis table --sweep last
        .venv/bin/python -m pytest -q -p no:cacheprovider tests/groie tests/test_package.py
    )
    rm -rf "$folder"
done
