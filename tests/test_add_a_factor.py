"""docs/add_a_factor.md, followed to the letter in a copy of the program."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "add_a_factor.md"
PLAN = """
import json, sys
from hydra import compose, initialize_config_dir
from experiments.planning import plan, rehearsal, sweep
found = []
with initialize_config_dir(sys.argv[1] + "/conf", version_base="1.3"):
    for line in sys.argv[2:]:
        for trial in plan.make(sweep.requests(line.split()), lambda overrides: compose("config", overrides)).trials:
            curve = rehearsal.unplaced(trial.settings).param_scheduler
            found.append((trial.variant, trial.trial_id, trial.factors, curve))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with every file that the page says to save, and the line that it says to add."""
    copy = tmp_path_factory.mktemp("copy") / "tree"
    for folder in ("conf", "experiments", "groie", "hydra_plugins", "sweeps"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True)
    shutil.copy(ROOT / "run.py", copy)
    saved = re.findall(r"`([\w/]+\.yaml)`(?:[^\n]|\n(?!\n))*?:\n\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [path for path, _ in saved] == [
        "conf/augmentation/colour.yaml",
        "conf/lr_curve/step.yaml",
        "conf/lr_curve/cosine.yaml",
    ]
    for path, content in saved:
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text(content)
    (line,) = re.findall(r"^  - lr_curve: step$", PAGE.read_text(), re.M)
    config = copy / "conf" / "config.yaml"
    config.write_text(re.sub(r"^  - profile: ", f"{line}\n\\g<0>", config.read_text(), flags=re.M))
    return copy


def test_commands_of_the_page(copy: Path) -> None:
    lines = re.findall(r"^python run\.py -m (.*)$", PAGE.read_text(), re.M)
    assert len(lines) == 3
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(copy), *lines], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert [text for text, *_ in told] == [
        "faster_rcnn sum",
        "faster_rcnn sum augmentation=colour",
        "faster_rcnn sum",
        "faster_rcnn sum neck=pafpn",
        "faster_rcnn sum augmentation=colour",
        "faster_rcnn sum neck=pafpn augmentation=colour",
        "faster_rcnn sum",
        "faster_rcnn sum lr_curve=cosine",
    ]
    assert len({trial for _, trial, *_ in told}) == 5
    assert [factors["lr_curve"] for *_, factors, _ in told][-2:] == ["step", "cosine"]
    assert [[one["type"] for one in curve] for *_, curve in told][-2:] == [
        ["LinearLR", "MultiStepLR"],
        ["LinearLR", "CosineAnnealingLR"],
    ]
    assert told[-1][-1][1]["T_max"] == 4
