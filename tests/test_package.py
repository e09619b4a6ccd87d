"""The package: what is pinned, and what lies in it when it is installed elsewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("conf", "sweeps", "analysis", "experiments", "groie", "hydra_plugins")
PINS = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def pinned() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version in PINS.findall((ROOT / "constraints.txt").read_text()):
        found.setdefault(name(package), set()).add(version)
    return found


def test_constraints_are_of_the_same_resolution_as_the_lock() -> None:
    locked: dict[str, set[str]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        locked.setdefault(name(package["name"]), set()).add(package.get("version", ""))
    assert {package: versions for package, versions in pinned().items() if not versions <= locked[package]} == {}


def test_each_dependency_is_pinned() -> None:
    project = PROJECT["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {name(re.match(r"[\w.-]+", one)[0]) for one in asked}  # type: ignore[index]
    assert names - pinned().keys() == set()
    assert len(names) > 25


def test_stand_in_packages_are_in_constraints_and_left_out_by_uv() -> None:
    text = (ROOT / "constraints.txt").read_text()
    folders = sorted(path.name for path in (ROOT / "stand_ins").iterdir())
    assert folders == ["imagecorruptions-imaug", "opencv-python"]
    for folder in folders:
        assert f"{folder} @ file://${{PWD}}/stand_ins/{folder}\n" in text
        assert tomllib.loads((ROOT / "stand_ins" / folder / "pyproject.toml").read_text())["project"]["name"] == folder
    left_out = [one.partition(";")[0] for one in PROJECT["tool"]["uv"]["override-dependencies"]]
    assert sorted(left_out) == folders


def test_wheel_has_options_sweeps_and_templates(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True)
    for file in ("pyproject.toml", "README.md", "LICENSE", "run.py"):
        shutil.copy(ROOT / file, source / file)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert {"conf/config.yaml", "analysis/tables/templates/page.html", "sweeps/table1.yaml"} <= set(wanted)
    assert {"run.py", "conf/post/conv5.yaml", *wanted} - held == set()
