"""docs/add_a_module.md, followed to the letter in a copy of the repository."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "add_a_module.md"
COMMANDS = list(dict.fromkeys(re.findall(r"python run\.py -m ([^`\n]+)", PAGE.read_text())))
ARGUMENT = "pre=squeeze pre.ratio=8"
TYPED = "+aggregation.level_activation=none"
PLAN = """
import json, sys
from hydra import compose, initialize_config_dir
from experiments.planning import plan, sweep
found = {}
with initialize_config_dir(sys.argv[1] + "/conf", version_base="1.3"):
    for line in sys.argv[2:]:
        planned = plan.make(sweep.requests(line.split()), lambda overrides: compose("config", overrides))
        found[line] = [trial.variant for trial in planned.trials]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The variants of each command line, planned where every file that the page says to save has been saved.

    Planning builds each one's extractor.
    """
    copy = tmp_path_factory.mktemp("copy") / "tree"
    for folder in ("conf", "experiments", "groie", "hydra_plugins", "sweeps"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True)
    shutil.copy(ROOT / "run.py", copy)
    saved = re.findall(
        r"`([\w/]+\.(?:py|yaml))`(?:[^\n]|\n(?!\n))*?:\n\n```\w+\n(.*?)```", PAGE.read_text(), flags=re.DOTALL
    )
    assert [path for path, _ in saved] == [
        "groie/squeeze.py",
        "conf/module/squeeze.yaml",
        "sweeps/squeeze.yaml",
        "groie/median.py",
        "conf/aggregation/median.yaml",
    ]
    for path, content in saved:
        (copy / path).write_text(content)
    lines = [*COMMANDS, ARGUMENT, f"aggregation=median {TYPED}", "aggregation=median recipe=text"]
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(copy), *lines], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_commands_of_the_page(planned: dict[str, list[str]]) -> None:
    """Each `python run.py -m` of the page plans what it says."""
    assert COMMANDS == ["pre=none,squeeze post=none,squeeze", "sweep=squeeze", "aggregation=sum,median"]
    before_after = ["faster_rcnn sum", "faster_rcnn sum pre=squeeze", "faster_rcnn sum post=squeeze"]
    assert planned[COMMANDS[0]] == [
        "faster_rcnn sum",
        "faster_rcnn sum post=squeeze",
        "faster_rcnn sum pre=squeeze",
        "faster_rcnn sum pre=squeeze post=squeeze",
    ]
    assert planned[COMMANDS[1]] == before_after
    assert planned[COMMANDS[2]] == ["faster_rcnn sum", "faster_rcnn median"]


def test_its_arguments_can_be_set(planned: dict[str, list[str]]) -> None:
    assert planned[ARGUMENT] == ["faster_rcnn sum pre=squeeze pre.ratio=8"]


def test_an_aggregation_takes_the_recipes_values_or_what_is_typed(planned: dict[str, list[str]]) -> None:
    assert TYPED in PAGE.read_text()
    assert planned[f"aggregation=median {TYPED}"] == [f"faster_rcnn median {TYPED}"]
    assert planned["aggregation=median recipe=text"] == ["faster_rcnn median recipe=text"]
