"""What the pages promise: commands that compose, links that lead somewhere, options that exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.planning import plan, sweep

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
PAGES = [*(ROOT / page for page in TOP), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
ELSEWHERE = (
    *("squeeze", "<name>", "sum,median"),  # docs/add_a_module.md's own, which its own test follows
    *("colour", "lr_curve", "sweep=NAME"),  # docs/add_a_factor.md's and docs/sweeps.md's
    "profile=mobilenet",  # needs a file of weights
)


def commands() -> list[str]:
    """Returns what stands after `python run.py` wherever a page has it, comments cut off."""
    found = {
        match.partition("#")[0].strip()
        for page in PAGES
        for match in re.findall(r"python run\.py([^`\n]*)", page.read_text())
    }
    return sorted(command for command in found if not any(word in command for word in ELSEWHERE))


@pytest.mark.parametrize("command", commands())
def test_command_plans(command: str) -> None:
    """Every combination of every command is composed, checked and its extractor built; nothing is run."""
    words = [word for word in shlex.split(command) if not word.startswith("-") and word != "job"]
    arguments = [word for word in words if not word.startswith("hydra")]  # as Hydra's sweepers get them
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose("config", [word for word in words if word not in arguments], return_hydra_config=True)
        planned = plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))
    assert planned.trials


def test_analysis_commands_are_understood() -> None:
    from analysis.__main__ import parser

    found = [line for page in PAGES for line in re.findall(r"python -m analysis ([^`#\n]+)", page.read_text())]
    assert {"table", "figure"} <= {parser().parse_args(shlex.split(line)).command for line in found}


def test_commands_of_experiments_are_understood() -> None:
    from experiments.__main__ import COMMANDS, parser

    found = [line for page in PAGES for line in re.findall(r"python -m experiments ([^`#\n]+)", page.read_text())]
    assert {parser().parse_args(shlex.split(line)).command for line in found} == set(COMMANDS)


def test_whole_configuration_is_printed_and_nothing_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "--cfg", "job"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert yaml.safe_load(done.stdout) == OmegaConf.to_container(compose("config"))
    assert list(tmp_path.iterdir()) == []


def test_commands_asked_for_are_shown() -> None:
    for command in ("-m pre=conv5,conv3 post=attention", "pre=conv5 post=attention", "pre=conv pre.kernel_size=7"):
        assert command in commands() or any(command in shown for shown in commands())
    assert "--cfg job" in commands()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make (\w+)`", page.read_text())}
    assert {"demo", "test", "ui"} <= named | set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    assert named <= targets


def test_table_of_options_is_complete() -> None:
    """The README's table names every option of every group, and no other."""
    listed = set()
    for groups, cell in re.findall(r"^\| (`.+?) \| (`.+?) \|", README, flags=re.MULTILINE):
        for group in re.findall(r"`(\w+)`", groups):
            listed.add(group)
            files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
            assert set(re.findall(r"`(\w+)`", cell)) == files, group
    assert listed == {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"hydra", "module"}
