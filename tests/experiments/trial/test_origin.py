"""Which source trained which epochs, from what attempts left; one source is named without epochs."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import names
from experiments.paths import TrialPaths
from experiments.trial import origin, provenance, sources
from tests.support.traces import COMMIT, write_journal, write_provenance

OTHER = "fedcba9876543210fedcba9876543210fedcba98"
A, B = COMMIT[:12], OTHER[:12]
FILE = "groie/extractor.py"


def trial(folder: Path, epochs: int, *attempts: dict[str, Any]) -> TrialPaths:
    for number, attempt in enumerate(attempts, 1):
        write_provenance(folder, number, **attempt)
    write_journal(folder, *[(1.0, 1.0)] * epochs)
    return TrialPaths(folder)


# Complete epochs; what each attempt left; what the tag says.
COMMITS: dict[str, tuple[int, list[dict[str, Any]], str]] = {
    "one": (4, [{"after": 0}], A),
    "one, that has just begun": (0, [{}], A),
    "one without git": (4, [{"commit": None, "after": 0}], "none"),
    "changed files": (4, [{"difference": "x", "after": 0}], f"{A}-dirty"),
    "resumed on the same": (4, [{"after": 0}, {"after": 2}], A),
    "resumed on another": (4, [{"after": 0}, {"commit": OTHER, "after": 2}], f"{A} (epochs 1-2), {B} (epochs 3-4)"),
    "and back": (
        4,
        [{"after": 0}, {"commit": OTHER, "after": 2}, {"after": 3}],
        f"{A} (epochs 1-2), {B} (epoch 3), {A} (epoch 4)",
    ),
    "resumed on changed files": (
        3,
        [{"after": 0}, {"difference": "x", "after": 2}],
        f"{A} (epochs 1-2), {A}-dirty (epoch 3)",
    ),
    "resumed on files that were changed again": (
        3,
        [{"difference": "x", "after": 0}, {"difference": "y", "after": 1}],
        f"{A}-dirty (epoch 1), {A}-dirty (epochs 2-3)",
    ),
    "another that trained no epoch": (4, [{"after": 0}, {"commit": OTHER, "after": 2}, {"after": 2}], A),
    "another that did not get to train": (4, [{"after": 0}, {"commit": OTHER}, {"after": 2}], A),
    "another that has just begun": (2, [{"after": 0}, {"commit": OTHER}], f"{A} (epochs 1-2), {B} (after epoch 2)"),
    "another that is in its first epoch": (
        2,
        [{"after": 0}, {"commit": OTHER, "after": 2}],
        f"{A} (epochs 1-2), {B} (after epoch 2)",
    ),
    "begun again from an older checkpoint": (4, [{"after": 0}, {"commit": OTHER, "after": 3}, {"after": 2}], A),
    "begun by a version that noted nothing": (4, [{"commit": OTHER}, {"after": 3}], f"{B} (epochs 1-3), {A} (epoch 4)"),
    "all by a version that noted nothing": (4, [{"commit": OTHER}, {}], f"{B}, {A}"),
    "the same by a version that noted nothing": (4, [{}, {}], A),
}


@pytest.mark.parametrize("case", COMMITS)
def test_commits_are_named_with_their_epochs(tmp_path: Path, case: str) -> None:
    epochs, attempts, expected = COMMITS[case]
    paths = trial(tmp_path, epochs, *attempts)
    assert origin.commits(origin.parts(paths)) == expected


def test_tags_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [{FILE: "a" * 10, "groie/x.py": "b" * 10}, {FILE: "c" * 10, "groie/y.py": "d" * 10}]
    paths = trial(tmp_path, 4, {"after": 0, "files": files[0]}, {"commit": OTHER, "after": 2, "files": files[1]})
    tags = origin.tags(paths, 2)
    assert tags[names.COMMIT] == f"{A} (epochs 1-2), {B} (epochs 3-4)"
    assert json.loads(tags[names.CODE]) == {
        FILE: f"{'a' * 10},{'c' * 10}", "groie/x.py": "b" * 10, "groie/y.py": "d" * 10
    }  # fmt: skip
    known = json.loads(paths.provenance(2).read_text())
    assert {key: tags[key] for key in provenance.tags(known) if key != names.COMMIT}[names.HOST] == "elsewhere"
    assert origin.tags(paths, 3) == {}  # an attempt that has not noted anything yet


def test_the_same_commit_with_other_files_is_another_source(tmp_path: Path) -> None:
    """Files that git does not know, as a new module's before it is committed."""
    attempts = [{"after": 0, "files": {"mine/x.py": "a" * 10}}, {"after": 2, "files": {"mine/x.py": "b" * 10}}]
    paths = trial(tmp_path, 4, *attempts)
    assert origin.commits(origin.parts(paths)) == f"{A} (epochs 1-2), {A} (epochs 3-4)"


@pytest.mark.parametrize(("noted", "expected"), [([None], None), (["groie"], "groie"), (["a", "b", "a"], "a, b")])
def test_operators_of_all_attempts_are_named(tmp_path: Path, noted: list[str | None], expected: str | None) -> None:
    attempts = [{"after": place, "files": {}, **({"operators": one} if one else {})} for place, one in enumerate(noted)]
    assert origin.tags(trial(tmp_path, 4, *attempts), len(noted)).get(names.OPERATORS) == expected


def test_trial_without_record_of_its_files_has_no_such_tag(tmp_path: Path) -> None:
    assert names.CODE not in origin.tags(trial(tmp_path, 4, {}), 1)


@pytest.mark.parametrize("count", [20, 2000, 60_000])
def test_a_tag_holds_however_many_files(tmp_path: Path, count: int) -> None:
    """Of too many, one hash for each folder, which still tells one from another."""
    names_of = [f"package{number % 400}/module_{number}.py" for number in range(count)]
    tagged = []
    for last in ("a", "b"):
        files = {**dict.fromkeys(names_of, "0" * 10), names_of[-1]: last * 10}
        folder = tmp_path / last
        tagged.append(origin.tags(trial(folder, 1, {"after": 0, "files": files}), 1)[names.CODE])
        assert len(tagged[-1]) <= 4000
        assert isinstance(json.loads(tagged[-1]), dict)
    assert tagged[0] != tagged[1]


def test_a_tag_holds_however_many_commits(tmp_path: Path) -> None:
    attempts = [{"commit": f"{number:040x}", "after": number} for number in range(300)]
    text = origin.commits(origin.parts(trial(tmp_path, 300, *attempts)))
    assert len(text) < 1000
    assert text.endswith(f", ..., {299:040x} (epoch 300)".replace(f"{299:040x}", f"{299:040x}"[:12]))


def crossing(paths: TrialPaths, commit: str | None, difference: str = "") -> str:
    now = {"commit": commit, "dirty": bool(difference), "difference": difference, "untracked": []}
    return origin.crossing(origin.trained(paths), now)


def test_resuming_at_another_source_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meaning = sources.meaning(sources.ROOT / FILE)
    paths = trial(tmp_path, 2, {"after": 0, "files": {FILE: meaning}})
    assert crossing(paths, COMMIT) == ""
    assert crossing(paths, OTHER) == f" at commit {B}; commit {A} trained its last epoch"
    assert crossing(paths, COMMIT, "x") == f" with a changed tree; commit {A} trained its last epoch"
    write_provenance(tmp_path, 1, after=0, files={FILE: "0" * 10})
    assert crossing(paths, COMMIT) == f"; {FILE} has changed since"
    assert (
        crossing(paths, OTHER, "x")
        == f" at commit {B}-dirty; commit {A} trained its last epoch; {FILE} has changed since"
    )


def test_long_differences_of_which_only_the_hash_is_kept_are_compared_by_it(tmp_path: Path) -> None:
    paths = trial(tmp_path, 2, {"after": 0})
    file = paths.provenance(1)
    known = json.loads(file.read_text())
    known["source"] |= {"dirty": True, "difference_sha256": "a" * 64}
    file.write_text(json.dumps(known))
    trained = origin.trained(paths)
    assert origin.crossing(trained, known["source"]) == ""
    now = {**known["source"], "difference_sha256": "b" * 64}
    assert origin.crossing(trained, now) == f" with a changed tree; commit {A}-dirty trained its last epoch"
