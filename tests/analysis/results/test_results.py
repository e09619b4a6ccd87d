"""The studies that were committed: each file of results/ is what the commands make of its data, today too."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from analysis.__main__ import main

RESULTS = Path(__file__).parents[3] / "results"
STUDIES = sorted(folder.parent for folder in RESULTS.glob("*/data"))
NOT_KEPT = {".pdf"}  # the same drawings as the .svg


def test_there_are_studies() -> None:
    assert [study.name for study in STUDIES] == ["fidelity", "paper", "person"]


@pytest.mark.long
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_is_what_its_data_give(study: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["paper", "--from", str(study), "--out", str(again)]) == 0
    files, kept = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix not in NOT_KEPT}
        for folder in (again, study)
    )
    assert files == kept
    for file in sorted(files):
        if file.suffix == ".png":
            ours, theirs = plt.imread(again / file), plt.imread(study / file)
            assert ours.shape == theirs.shape, file
            assert np.abs(ours - theirs).max() < 0.02, file  # of 1: as they look, whatever wrote the file
        else:
            assert (again / file).read_bytes() == (study / file).read_bytes(), file
