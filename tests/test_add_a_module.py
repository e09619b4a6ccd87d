"""docs/add_a_module.md, followed to the letter in a copy of the repository."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "add_a_module.md"
PLAN = """
import sys
from hydra import compose, initialize_config_dir
from experiments.planning import plan, sweep
with initialize_config_dir(sys.argv[1] + "/conf", version_base="1.3"):
    planned = plan.make(sweep.requests(sys.argv[2:]), lambda overrides: compose("config", overrides))
print(*(trial.variant for trial in planned.trials), sep="\\n")
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in which every file that the page says to save has been saved."""
    copy = tmp_path_factory.mktemp("copy") / "tree"
    for folder in ("conf", "experiments", "groie", "hydra_plugins", "sweeps"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True)
    shutil.copy(ROOT / "run.py", copy)
    saved = re.findall(
        r"`([\w/]+\.(?:py|yaml))`(?:[^\n]|\n(?!\n))*?:\n\n```\w+\n(.*?)```", PAGE.read_text(), flags=re.DOTALL
    )
    assert [path for path, _ in saved] == [
        "groie/squeeze.py",
        "conf/pre/squeeze.yaml",
        "sweeps/squeeze.yaml",
        "groie/maximum.py",
        "conf/aggregation/max.yaml",
    ]
    for path, content in saved:
        (copy / path).write_text(content)
    return copy


def planned(tree: Path, *arguments: str) -> list[str]:
    """The variants that a command line asks for; planning builds each one's extractor."""
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(tree), *arguments], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_commands_of_the_page(followed: Path) -> None:
    """Each `python run.py -m` of the page plans what it says."""
    commands = re.findall(r"python run\.py -m ([^`\n]+)", PAGE.read_text())
    assert commands == ["pre=none,squeeze post=none,squeeze", "sweep=squeeze", "sweep=squeeze", "aggregation=sum,max"]
    before_after = ["faster_rcnn sum", "faster_rcnn sum pre=squeeze", "faster_rcnn sum post=squeeze"]
    assert planned(followed, *commands[0].split()) == [
        "faster_rcnn sum",
        "faster_rcnn sum post=squeeze",
        "faster_rcnn sum pre=squeeze",
        "faster_rcnn sum pre=squeeze post=squeeze",
    ]
    assert planned(followed, *commands[1].split()) == before_after
    assert planned(followed, *commands[3].split()) == ["faster_rcnn sum", "faster_rcnn max"]


def test_its_arguments_can_be_set(followed: Path) -> None:
    assert planned(followed, "pre=squeeze", "pre.ratio=8") == ["faster_rcnn sum pre=squeeze pre.ratio=8"]


def test_an_aggregation_takes_the_recipes_values_or_what_is_typed(followed: Path) -> None:
    typed = "+aggregation.level_activation=none"
    assert typed in PAGE.read_text()
    assert planned(followed, "aggregation=max", typed) == [f"faster_rcnn max {typed}"]
    assert planned(followed, "aggregation=max", "recipe=text") == ["faster_rcnn max recipe=text"]
