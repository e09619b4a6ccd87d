"""What readers rely on in README, CONTRIBUTING, CHANGELOG and docs: size, files that are named, what hooks run."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
JOURNEYS = (ROOT / "docs" / "journeys.md").read_text()
FOLDERS = ("analysis", "benchmarks", "conf", "experiments", "groie", "hydra_plugins", "sweeps", "tests")
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
ABSENT = {  # named by pages, and not there: what the reader writes, and what has moved
    "add_a_factor.md": {"conf/augmentation/colour.yaml", "conf/lr_curve/step.yaml", "conf/lr_curve/cosine.yaml"},
    "add_a_module.md": {
        "groie/squeeze.py",
        "groie/median.py",
        "conf/module/squeeze.yaml",
        "conf/aggregation/median.yaml",
        "sweeps/squeeze.yaml",
    },
    "sweeps.md": {"sweeps/NAME.yaml"},
    "CHANGELOG.md": {"experiments/training/checkpoints.py", "experiments/training/loading.py"},
}
QUESTIONS = 10
LINES = 150


def named(page: str) -> set[str]:
    """Returns the files and folders of this repository that a page names by their whole path, and run.py."""
    wanted = rf"(?<![\w/.])(?:(?:{'|'.join(FOLDERS)})/[\w/.]*\w(?:\.\w+)?|run\.py)"
    return set(re.findall(wanted, page.replace("<br/>", "")))


def missing(page: str) -> set[str]:
    """Returns those of the files and folders that do not exist."""
    return {path for path in named(page) if not (ROOT / path).exists()}


def diagrams(page: str) -> list[list[str]]:
    """Returns the lines of each Mermaid diagram, without its first."""
    found = re.findall(r"```mermaid\nsequenceDiagram\n(.*?)```", page, flags=re.DOTALL)
    return [[line.strip() for line in body.splitlines()] for body in found]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= LINES


def test_the_first_screen_has_a_purpose_a_picture_two_commands_and_what_you_get() -> None:
    first, _, _ = README.partition("\n## ")
    purpose = first.split("\n\n")[1]
    assert purpose.startswith("**Which part of a RoI extractor improves")
    (picture,) = re.findall(r"^!\[.+\]\((.+)\)$", first, re.MULTILINE)
    assert (ROOT / picture).is_file()
    (block,) = re.findall(r"^```\n(.*?)^```", first, re.MULTILINE | re.DOTALL)
    assert [line.partition("#")[0].split() for line in block.splitlines()] == [["make", "demo"], ["make", "ui"]]
    _, _, got = first.partition("You get:")
    assert len(re.findall(r"^- ", got, re.MULTILINE)) >= 3


def test_the_readme_keeps_what_a_new_user_needs() -> None:
    for words in ("apt-get install git python3-venv make", "3.11, 3.12 or 3.13", "'.[gpu]'", "PIP_EXTRA_INDEX_URL="):
        assert words in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert missing(page.read_text()) == ABSENT.get(page.name, set())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_inline_code_stays_on_its_line(page: Path) -> None:
    """So that a command can be found, copied and tested."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if line.count("`") % 2] == []


def test_pages_that_lead_to_files_name_some() -> None:
    for page in (CONTRIBUTING, JOURNEYS, (ROOT / "docs" / "design.md").read_text()):
        assert len(named(page)) > QUESTIONS


def test_a_file_that_does_not_exist_is_seen() -> None:
    assert missing("`experiments/jobs/supervise.py` and experiments/jobs/none.py, `run.py`") == {
        "experiments/jobs/none.py"
    }
    assert missing("participant S as hydra_plugins/<br/>no_sweeper.py") == {"hydra_plugins/no_sweeper.py"}


def test_ten_questions_are_answered_by_a_file_each() -> None:
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", CONTRIBUTING, re.MULTILINE)
    assert len(rows) == QUESTIONS
    answers = [named(answer) for _, answer in rows]
    assert all(answers)
    assert all((ROOT / path).is_file() for answer in answers for path in answer)


def test_the_order_of_rooms_is_the_tested_one() -> None:
    from tests.test_imports import ROOMS

    text = " ".join(CONTRIBUTING.split())
    for rooms in ROOMS.values():
        assert ", ".join(f"`{room}`" for room in rooms) in text


def test_rooms_of_tests_that_are_timed_exist() -> None:
    timed = set(re.findall(r"^\| `(tests/[\w/]+)` \|", CONTRIBUTING, re.MULTILINE))
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert rooms - timed == {"tests", "tests/engines", "tests/gpu", "tests/analysis", "tests/experiments"}
    assert timed <= rooms


def test_three_journeys_are_drawn() -> None:
    drawn = diagrams(JOURNEYS)
    assert len(drawn) == 3
    for lines in drawn:
        known = [match[1] for line in lines if (match := re.fullmatch(r"participant (\w+) as .+", line))]
        messages = [re.fullmatch(r"(\w+)->>(\w+): [^;#]+", line) for line in lines[len(known) :]]
        assert all(messages), lines
        assert {end for message in messages if message for end in message.groups()} == set(known)


def test_hooks_are_what_make_check_runs() -> None:
    """Each with the environment's own tools, so that a hook and `make check` judge alike."""
    configured = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (local,) = configured["repos"]
    assert local["repo"] == "local"
    hooks = local["hooks"]
    assert all((hook["language"], hook["pass_filenames"]) == ("system", False) for hook in hooks)
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck: setup")[2].partition("\n\n")[0]
    assert [hook["entry"] for hook in hooks] == [line.strip() for line in recipe.splitlines()[1:]]
