"""One way only: groie <- experiments <- run.py; analysis reads a few light modules. Checked on the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"groie", "experiments", "analysis", "hydra_plugins", "run", "benchmarks", "tests"}
SHARED = {
    f"experiments.{module}"
    for module in (
        "names",
        "declared",
        "detections",
        "matches",
        "files",
        "commands",
        "parsers",
        "seeds",
        "sentences",
        "sqlite_uri",
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
        wrong |= {m for m in modules if m.startswith("experiments.") and ".".join(m.split(".")[:2]) not in SHARED}
    return wrong


FILES = [path for package in ("groie", "experiments", "analysis") for path in sorted((ROOT / package).rglob("*.py"))]


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    assert breaches(package(path), path.read_text()) == set()


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


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_analysis_shares_is_light(module: str) -> None:
    """Else analysis would import Hydra or torch through it."""
    assert breaches("analysis", (ROOT / f"{module.replace('.', '/')}.py").read_text()) == set()


def test_one_file_has_a_runner() -> None:
    """Others name it as a type. And only two know MMEngine's Config."""
    sources = {path.name: path.read_text() for path in FILES if package(path) == "experiments"}
    assert {name for name, source in sources.items() if re.search(r"\bRunner[.(]", source)} == {"worker.py"}
    users = {name: imported(source) for name, source in sources.items()}
    assert {name for name, modules in users.items() if "mmengine.config" in modules} == {"build.py", "detector.py"}


@pytest.mark.parametrize(
    ("package", "line", "breach"),
    [
        ("groie", "from experiments import names", "experiments"),
        ("experiments", "import analysis.tables", "analysis"),
        ("analysis", "def f():\n    import torch", "torch"),
        ("analysis", "from experiments.planning import plan", "experiments.planning"),
        ("analysis", "from experiments.names_of_mine import plan", "experiments.names_of_mine"),
    ],
)
def test_breach_is_seen(package: str, line: str, breach: str) -> None:
    assert breach in breaches(package, line)
