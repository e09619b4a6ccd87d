"""Bad command lines: each ends in one sentence of ours with exit code 2, and leaves nothing behind."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support import bad_lines, bad_values, bad_words, harness
from tests.support.running import Preloaded

pytestmark = pytest.mark.filterwarnings("ignore")

OF_RUN = {name: lines for module in (bad_lines, bad_values) for name, lines in vars(module).items() if name.isupper()}
FAMILIES = {
    **{f"run.py {name}": ("run.py", lines) for name, lines in OF_RUN.items()},
    "experiments": ("experiments/__main__.py", bad_words.EXPERIMENTS),
    "analysis": ("analysis/__main__.py", bad_words.ANALYSIS),
}
OF_PARSERS = (  # and of libraries
    *("Traceback", "Lexer", "mismatched input", "no viable", "extraneous input", "token recognition", "expecting {"),
    *(
        "hydra.cc",
        "HYDRA_FULL_ERROR",
        "full_key",
        "object_type",
        "invalid choice",
        "unrecognized",
        "argument:",
    ),
)
LONGEST = 600


def answers(preloaded: Preloaded, program: str, lines: list[str], folder: Path) -> list[tuple[int, str, str]]:
    """Returns exit code, stdout and stderr of command lines, which are given one after the other."""
    other, here = folder / "other", folder / "here"
    for place in (other / "folder", here):
        place.mkdir(parents=True)
    (other / "file").write_text("{}")
    wanted = {"LONG": "a" * 5000, "NAME": "a" * 300, "OTHER": str(other)}
    typed = []
    for line in lines:
        for word, meant in wanted.items():
            line = line.replace(word, meant)
        typed.append([shlex.split(line), {"MARKS": str(folder), "WORD": "abc", "MLFLOW_PORT": "0"}])
    (folder / "lines.json").write_text(json.dumps([str(harness.ROOT / program), typed]))
    command = preloaded.several(folder / "lines.json", folder / "results.json", cwd=here)
    assert command.code == 0, command.stderr
    return json.loads((folder / "results.json").read_text())


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_bad_lines_end_in_a_sentence(preloaded: Preloaded, tmp_path: Path, family: str) -> None:
    program, lines = FAMILIES[family]
    results = answers(preloaded, program, list(lines), tmp_path)
    wrong = {}
    for number, ((line, said), (code, out, err)) in enumerate(zip(lines.items(), results, strict=True)):
        sentence, place = err.removeprefix("error: "), tmp_path / "here" / str(number)
        flaws = [f"exit code {code}"] if code != 2 else []
        flaws += ["no error"] if sentence == err else []
        flaws += [f"{len(err.splitlines())} lines"] if len(err.splitlines()) != 1 else []
        flaws += [f"{len(err)} characters"] if len(err) > LONGEST else []
        flaws += [f"says {word}" for word in OF_PARSERS if word in err]
        flaws += [f"prints {out[:80]}"] if out else []
        flaws += [f"writes {path.name}" for path in place.iterdir()]
        rest = sentence
        for part in said.split(" ... "):
            found = rest.find(part)
            flaws += [f"does not say {part}"] if found < 0 else []
            rest = rest[max(found, 0) :]
        if flaws:
            wrong[line[:80]] = (flaws, err[-400:])
    assert wrong == {}
    assert not (tmp_path / "called").exists()
