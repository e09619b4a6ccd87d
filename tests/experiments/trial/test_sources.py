"""The hash of a source file ignores comments and layout; and which files a training records."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.trial import sources
from tests.support import harness

MODULE = '''"""A module."""
import math

from torch import nn

SCALE = 1e-3  # a comment


class Squeeze(nn.Module):
    """Scales."""

    name: str = "squeeze"

    def forward(self, x, *, ratio=4):
        # why
        if x is None or (ratio > 2):
            return f"{x!r:>{ratio}}"
        return [math.sqrt(one) for one in x][0] + SCALE
'''
ALIKE = {
    "comments": MODULE.replace("  # a comment", "").replace("        # why\n", ""),
    "docstrings": MODULE.replace('"""A module."""', '"""Another text."""').replace('    """Scales."""\n\n', ""),
    "blank lines": MODULE.replace("\n\n\n", "\n\n\n\n\n"),
    "line breaks": MODULE.replace("x, *, ratio=4", "x,\n        *,\n        ratio=4,\n    "),
    "brackets": MODULE.replace("(ratio > 2)", "ratio > 2"),
    "quotes": MODULE.replace('"squeeze"', "'squeeze'"),
    "the same number": MODULE.replace("1e-3", "0.001"),
    "pass": MODULE.replace("        # why\n", "        pass\n"),
    "line ends of Windows": MODULE.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + MODULE,
}  # fmt: skip
OTHER = {
    "a number": MODULE.replace("1e-3", "1e-2"),
    "a whole number": MODULE.replace("ratio=4", "ratio=4.0"),
    "a truth": MODULE.replace("is None", "is True"),
    "an operator": MODULE.replace("ratio > 2", "ratio >= 2"),
    "a name": MODULE.replace("math.sqrt", "math.exp"),
    "a text": MODULE.replace('"squeeze"', '"squeeze "'),
    "text or bytes": MODULE.replace('"squeeze"', 'b"squeeze"'),
    "a keyword": MODULE.replace("x, *, ratio=4", "x, ratio=4"),
    "order": MODULE.replace("import math\n\nfrom torch import nn", "from torch import nn\n\nimport math"),
    "a conversion": MODULE.replace("!r:", "!s:"),
    "an annotation": MODULE.replace("name: str", "name: object"),
    "a call": MODULE.replace("[0] +", "[0]() +"),
    "no statement": MODULE.replace("SCALE = 1e-3  # a comment\n", ""),
    "an empty text": MODULE.replace("math.sqrt(one)", 'math.sqrt(one, "")'),
    "a mistake": MODULE + "def (",
}


def meaning(folder: Path, content: str) -> str:
    path = folder / "module.py"
    path.write_bytes(content.encode())
    return sources.meaning(path)


@pytest.mark.parametrize("case", ALIKE)
def test_comments_and_layout_do_not_count(tmp_path: Path, case: str) -> None:
    assert ALIKE[case] != MODULE
    assert meaning(tmp_path, ALIKE[case]) == meaning(tmp_path, MODULE)


@pytest.mark.parametrize("case", OTHER)
def test_changes_of_the_code_count(tmp_path: Path, case: str) -> None:
    assert OTHER[case] != MODULE
    assert meaning(tmp_path, OTHER[case]) != meaning(tmp_path, MODULE)


def test_meaning_is_the_same_in_every_python(tmp_path: Path) -> None:
    """Pinned, for whichever version runs this: a study may move to another."""
    assert meaning(tmp_path, MODULE) == "6cefc03404"
    newest = "def f[T](x: T) -> T:\n    return x\n"  # syntax of 3.12: no tree in 3.11, but a hash
    assert len(meaning(tmp_path, newest)) == len("6cefc03404")


def test_no_two_files_of_the_project_mean_the_same() -> None:
    """But those that say nothing."""
    files = [path for folder in ("groie", "experiments") for path in (harness.ROOT / folder).rglob("*.py")]
    hashes = [sources.meaning(path) for path in files if path.name != "__init__.py"]
    assert len(hashes) == len(set(hashes)) > 40


LOADING = """
import json, sys
import groie, experiments.training.build, experiments.trial.sources as sources
import analysis.tables.formats, experiments.jobs.progress, mine.blocks, alone
from pathlib import Path
from experiments.paths import TrialPaths
paths = TrialPaths(Path(sys.argv[1]))
display = {"type": "experiments.jobs.progress.TrialDisplay"}
chosen = {"pre": {"type": "mine.blocks.Block"}, "post": [display], "x": {"type": 3}}
sources.note(paths, 2, 5, chosen)
"""


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A folder with a package and a module of the user's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "blocks.py").write_text("from mine import helper\n")
    (tmp_path / "mine" / "helper.py").write_text("SIDE = 3\n")
    (tmp_path / "mine" / "unused.py").write_text("SIDE = 4\n")
    (tmp_path / "alone.py").write_text("ONE = 1\n")
    return tmp_path


def test_a_training_counts_what_it_has_loaded_that_can_matter(users: Path) -> None:
    """The project's own code for detectors and data, and all of the user's own; nothing installed, nothing unused."""
    path = os.pathsep.join((str(harness.ROOT), str(users)))
    subprocess.run(
        [sys.executable, "-c", LOADING, str(users)],
        env={**harness.of_nobody(), "PYTHONPATH": path},
        cwd=users.parent,
        check=True,
    )
    noted = json.loads((users / "sources" / "0002.json").read_text())
    found = noted["files"]
    assert noted["after"] == 5
    own = {name for name in found if not name.startswith(("groie/", "experiments/training/", "experiments/data/"))}
    in_the_way = "experiments/jobs/progress.py"  # of the project itself, but a module that the variant names
    assert own == {"mine/__init__.py", "mine/blocks.py", "mine/helper.py", "alone.py", in_the_way}
    assert {"groie/extractor.py", "experiments/training/detector.py", "experiments/data/datasets.py"} <= set(found)
    assert all((harness.ROOT / name).is_file() for name in set(found) - own)
    assert not any(name.startswith(("analysis/", "experiments/trial/")) for name in found)
    assert found["mine/helper.py"] == meaning(users, "SIDE = 3")


def test_changed_files_are_listed(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own file is looked for where Python would import it from; nothing is imported for it."""
    monkeypatch.syspath_prepend(str(users))
    files = ("mine/__init__.py", "mine/blocks.py", "mine/helper.py", "alone.py", "groie/extractor.py")
    then = {name: sources.meaning(harness.ROOT / name if "groie" in name else users / name) for name in files}
    assert sources.changed(then) == ""
    (users / "mine" / "helper.py").write_text("# another comment\nSIDE = 3\n")
    (users / "mine" / "new.py").write_text("SIDE = 5\n")
    assert sources.changed(then) == ""
    (users / "mine" / "helper.py").write_text("SIDE = 5\n")
    assert sources.changed(then) == "mine/helper.py has changed since"
    assert sources.changed({**then, "groie/extractor.py": "0" * 10}) == (
        "mine/helper.py and groie/extractor.py have changed since"
    )
    (users / "alone.py").unlink()
    assert sources.changed(then) == "mine/helper.py has changed since, alone.py is gone"
    assert sources.changed(dict.fromkeys([f"groie/no{n}.py" for n in range(9)], "x")) == (
        "groie/no0.py, groie/no1.py and 7 more files are gone"
    )
    assert not {"mine", "alone"} & set(sys.modules)


@pytest.mark.parametrize("name", ["../../etc/passwd.py", "/etc/passwd", "a.b/c.py", "antigravity.x.py", "", "os"])
def test_a_name_from_elsewhere_imports_nothing(name: str) -> None:
    """Records are imported from others' archives."""
    before = set(sys.modules)
    assert sources.changed({name: "0" * 10})
    assert set(sys.modules) == before
