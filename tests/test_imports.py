"""One way only: groie <- experiments <- run.py; analysis reads a few light modules. Checked on the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"groie", "experiments", "analysis", "hydra_plugins", "run", "benchmarks", "tests"}
ROOMS = {  # of each package, from the ground up: a room imports itself, those before it, and the files of no room
    "experiments": ("data", "trial", "training", "mlflow_store", "planning", "jobs", "transfer"),
    "analysis": ("read", "statistics", "tables", "figures", "drawing", "results"),
}
TOPS = {"experiments": ("__main__", "command"), "analysis": ("__main__", "command_line", "terminal")}  # above all rooms
SHARED = {  # what analysis reads of experiments
    f"experiments.{module}"
    for module in (
        "commands",
        "declared",
        "errors",
        "factors",
        "files",
        "names",
        "parsers",
        "passwords",
        "seeds",
        "sentences",
        "sqlite_uri",
        "sweep_file",
        "trial.detections",
        "trial.matches",
    )
}
HEAVY = {"torch", "mmdet", "mmcv", "mmengine", "hydra", "omegaconf"}


def imported(source: str) -> set[str]:
    """Returns the modules that a source imports, at its top or inside a function; `from a import b` gives a.b too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def breaches(package: str, source: str) -> set[str]:
    """Returns the imports that a source file of `package` must not have."""
    modules = imported(source)
    tops = {module.partition(".")[0] for module in modules}
    allowed = {"groie": set(), "experiments": {"groie"}, "analysis": {"experiments"}}[package] | {package}
    wrong = (tops & OURS) - allowed
    if package == "analysis":
        wrong |= tops & HEAVY
        wrong |= {module for module in modules if module.startswith("experiments.") and not _shared(module)}
    return wrong


def _shared(module: str) -> bool:
    """Whether analysis may import a module, a name in one, or the room that a shared one is in."""
    return any(f"{module}.".startswith(f"{one}.") or f"{one}.".startswith(f"{module}.") for one in SHARED)


FILES = [path for package in ("groie", "experiments", "analysis") for path in sorted((ROOT / package).rglob("*.py"))]


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    assert breaches(package(path), path.read_text()) == set()


def level(name: str, module: str) -> int:
    """Returns how high a module of a package stands: 0 for the files of no room, then its rooms, then the tops."""
    second = module.split(".")[1] if "." in module else ""
    if second in TOPS[name]:
        return len(ROOMS[name]) + 1
    return ROOMS[name].index(second) + 1 if second in ROOMS[name] else 0


def arrows(name: str) -> dict[str, set[str]]:
    """Returns which modules of a package each of its modules imports."""
    paths = [path for path in FILES if package(path) == name]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {module: imported(path.read_text()) & set(modules) - {module} for module, path in modules.items()}


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_rooms_import_one_way(name: str) -> None:
    found = arrows(name)
    up = {(a, b) for a, targets in found.items() for b in targets if level(name, a) < level(name, b)}
    assert up == set()
    rooms = {path.name for path in (ROOT / name).iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ROOMS[name])


@pytest.mark.parametrize("name", ["groie", *sorted(ROOMS)])
def test_no_circle_of_imports(name: str) -> None:
    """Leaves out, again and again, the modules that import none of the rest; a circle stays."""
    rest = arrows(name)
    while free := [module for module, targets in rest.items() if not targets & set(rest)]:
        rest = {module: targets for module, targets in rest.items() if module not in free}
    assert sorted(rest) == []


def test_each_room_keeps_to_its_task() -> None:
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in FILES}
    draw = {file for file, source in sources.items() if any(m.startswith("matplotlib") for m in imported(source))}
    assert {file.rpartition("/")[0] for file in draw if file.startswith("analysis/")} == {"analysis/drawing"}
    store = {file for file, source in sources.items() if {"mlflow", "analysis.read.store"} & imported(source)}
    assert not [file for file in store if file.startswith(("analysis/statistics/", "analysis/drawing/"))]
    prints = {file for file, source in sources.items() if re.search(r"^ *print\(|console\.print\(", source, re.M)}
    assert {file for file in prints if file.startswith("analysis/")} <= {"analysis/terminal.py", "analysis/__main__.py"}
    top = re.compile("^(import|from) (torch|mmengine|mmdet|mmcv|mlflow|groie)\\b", re.M)
    early = {file for file, source in sources.items() if file.startswith("experiments/trial/") and top.search(source)}
    assert early <= {"experiments/trial/safe_loading.py"}  # which is imported late


def too_early(source: str) -> list[int]:
    """Returns the lines that import MMDetection or mmcv where neither their function nor the top has imported groie."""
    found = []

    def visit(node: ast.AST, ready: bool) -> bool:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                modules = [child.module] if isinstance(child, ast.ImportFrom) else [one.name for one in child.names]
                tops = {str(module).partition(".")[0] for module in modules}
                ready |= "groie" in tops
                if tops & {"mmdet", "mmcv"} and not ready:
                    found.append(child.lineno)
            elif isinstance(child, ast.FunctionDef | ast.ClassDef):
                visit(child, ready)
            else:
                ready = visit(child, ready)
        return ready

    visit(ast.parse(source), False)
    return found


@pytest.mark.parametrize("folder", ["experiments", "benchmarks"])
def test_groie_is_imported_before_what_needs_its_operators(folder: str) -> None:
    """A plain mmcv lacks compiled operators; `groie.operators` must be in their place before `mmcv.ops` looks."""
    sources = {path: path.read_text() for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): lines for path, source in sources.items() if (lines := too_early(source))} == {}


def test_an_early_import_is_seen() -> None:
    assert too_early("import groie\ndef f():\n    import mmdet.models") == []
    assert too_early("def f():\n    import mmdet.models\n    import groie\nfrom mmcv import ops") == [2, 4]


def test_one_file_has_a_runner() -> None:
    """Others name it as a type. And only two know MMEngine's Config."""
    sources = {path.name: path.read_text() for path in FILES if package(path) == "experiments"}
    assert {name for name, source in sources.items() if re.search(r"\bRunner[.(]", source)} == {"worker.py"}
    users = {name: imported(source) for name, source in sources.items()}
    assert {name for name, modules in users.items() if "mmengine.config" in modules} == {
        "build.py",
        "detector.py",
        "edits.py",
    }


def test_breach_is_seen() -> None:
    assert breaches("groie", "from experiments import names") == {"experiments"}
    assert breaches("experiments", "import analysis.tables.ablation") == {"analysis"}
    assert breaches("analysis", "def f():\n    import torch") == {"torch"}
    for module in ("experiments.planning", "experiments.names_of_mine"):
        assert module in breaches("analysis", f"from {module} import plan")
