"""Trials of other code are marked in the plan and repeated when asked for; resuming on other code is said."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir

from experiments import names
from experiments.__main__ import main
from experiments.planning import decision, summary
from experiments.planning.decision import Decision
from experiments.planning.identity import Trial
from experiments.trial import attempts, provenance, sources
from groie import operators
from tests.experiments.planning.test_estimate import printed
from tests.experiments.planning.test_plan import make
from tests.support import harness
from tests.support.running import Fake, Swept, wait_for
from tests.support.traces import COMMIT, describe, write_attempt, write_journal, write_provenance

pytestmark = pytest.mark.filterwarnings("ignore")

FILE = "groie/extractor.py"
CHANGED = f"{FILE} has changed since"


NOW = {"commit": COMMIT, "dirty": False, "difference": "", "untracked": []}


def asked(outputs: Path, *overrides: str) -> Trial:
    return Trial(harness.composed(*harness.TINY, f"output_dir={outputs}", *overrides), overrides)


def trained(trial: Trial, files: dict[str, str] | None, epochs: int = 2, **facts: Any) -> Path:
    """Leaves a trial whose last attempt had loaded these files."""
    folder = describe(trial)
    write_attempt(folder, 1, **{"status": "FINISHED", **facts})
    write_provenance(folder, 1, after=None if files is None else 0, files=files)
    write_journal(folder, *[(1.0, 1.0)] * epochs)
    return folder


def decide(trial: Trial) -> Decision:
    return decision.decide(trial, attempts.last(trial.paths.root), lambda: NOW)


OLD = {FILE: "0" * 10}
STOPPED = {"status": "KILLED", "reason": "x"}
MEMORY = {"status": "FAILED", "reason": "OutOfMemoryError: x", "transient": True}
ERROR = {"status": "FAILED", "reason": "ValueError: x"}
RESUMES = f"resumes after epoch 1; {CHANGED}; rerun=stale trains it again"
# What a trial is found with and what is typed; whether it runs and begins with epoch 1, whether it is stale, and why.
CASES: dict[str, tuple[dict[str, Any], str, tuple[bool, bool, bool, str]]] = {
    "finished": ({}, "rerun=false", (False, False, True, f"stale, {CHANGED}; rerun=stale trains it again")),
    "finished, stale": ({}, "rerun=stale", (True, True, True, f"trained again: {CHANGED}")),
    "finished, again": ({}, "rerun=true", (True, True, False, "trained again")),
    "stopped": (STOPPED, "rerun=false", (True, False, True, RESUMES)),
    "stopped, stale": (STOPPED, "rerun=stale", (True, True, True, f"trained again: {CHANGED}")),
    "memory": (MEMORY, "rerun=false", (True, False, True, f"OutOfMemoryError: x; {RESUMES}")),
    "memory, stale": (MEMORY, "rerun=stale", (True, True, True, f"trained again: {CHANGED}")),
    "error": (ERROR, "rerun=false", (False, False, False, "ValueError: x; correct it and add retry.failed=true")),
    "error, stale": (ERROR, "rerun=stale", (True, True, True, f"trained again: {CHANGED}")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_trial_of_other_code_is_stale_and_repeated_when_asked_for(tmp_path: Path, case: str) -> None:
    facts, typed, (runs, replaces, stale, why) = CASES[case]
    trained(asked(tmp_path), OLD, epochs=1 if facts else 2, **facts)
    assert decide(asked(tmp_path, typed)) == Decision(runs, why, replaces, stale)


@pytest.mark.parametrize("files", [{FILE: sources.meaning(sources.ROOT / FILE)}, None, {}], ids=["same", "old", "none"])
@pytest.mark.parametrize("facts", [{}, STOPPED], ids=["finished", "stopped"])
def test_trial_of_the_same_code_is_not_stale(tmp_path: Path, files: Any, facts: dict[str, Any]) -> None:
    """Also by a version that noted nothing of its files."""
    trained(asked(tmp_path), files, epochs=1 if facts else 2, **facts)
    for typed in ("rerun=false", "rerun=stale"):
        assert decide(asked(tmp_path, typed)) == Decision(*((True, "resumes after epoch 1") if facts else (False,)))


def test_attempt_without_an_epoch_is_not_stale(tmp_path: Path) -> None:
    trained(asked(tmp_path), OLD, epochs=0, **STOPPED)
    assert decide(asked(tmp_path)) == Decision(True, "starts at epoch 1")


def test_trial_of_two_versions_of_the_code_is_stale_by_either(tmp_path: Path) -> None:
    """Finished by today's, begun by another: all of it is trained again."""
    folder = trained(asked(tmp_path), OLD)
    write_provenance(folder, 2, after=1, files={FILE: sources.meaning(sources.ROOT / FILE)})
    assert decide(asked(tmp_path)).stale
    assert decide(asked(tmp_path, "rerun=stale")).replaces


def test_plan_counts_what_is_stale_and_counts_all_epochs_of_what_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        typed = (*harness.TINY, f"output_dir={tmp_path}", "pre=none,conv3")
        trained(make(*typed).trials[1], {FILE: "0" * 10, "groie/gone.py": "1" * 10})
        planned, again = make(*typed), make(*typed, "rerun=stale")
    text = printed(planned, monkeypatch)
    assert ": 2 rows, 2 unique trials, 1 to run, 1 stale" in text.splitlines()[0]
    assert f"finished: stale, {CHANGED}, groie/gone.py is gone; rerun=stale trains it again" in text
    written = json.loads(summary.write(planned).read_text())["trials"]
    assert [trial["stale"] for trial in written] == [False, True]
    assert [entry.runs for entry in again.entries] == [True, True]
    assert again.entries[1].cost.device_hours == pytest.approx(2 * 2.0 / 3600)


def set_files(folder: Path, attempt: int, files: dict[str, str]) -> None:
    path = folder / "sources" / f"{attempt:04d}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))


def test_rerun_stale_trains_again_what_is_stale_and_no_more(fake: Fake) -> None:
    assert fake.run({1: "finish", 2: "finish"}).code == 0
    set_files(fake.folder(1), 1, OLD)
    again = fake.run({1: "finish", 2: "finish"})
    assert (again.code, "0 to run, 1 stale" in again.stdout) == (0, True)
    assert fake.planned(1) == ("finished", False, f"stale, {CHANGED}; rerun=stale trains it again")
    stale = fake.run({1: "finish", 2: "finish"}, "rerun=stale")
    assert (stale.code, "1 to run, 1 stale" in stale.stdout) == (0, True)
    assert [len(fake.runs(seed)) for seed in (1, 2)] == [2, 1]
    (aside,) = fake.outputs.glob("replaced/*")
    assert json.loads((aside / "sources" / "0001.json").read_text())["files"] == OLD
    last = fake.run({1: "finish", 2: "finish"}, "rerun=stale")
    assert (last.code, "0 to run" in last.stdout, "stale" in last.stdout) == (0, True, False)
    assert fake.planned(1) == ("finished", False, "")


def test_resuming_at_another_commit_is_printed_tagged_and_reproduced(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, in the run's tag, and by `reproduce`, which says how to get the same again."""
    command = fake.start({1: "silent"})
    wait_for(lambda: fake.began(1))
    for _ in range(2):  # at once
        command.signal(signal.SIGINT)
        time.sleep(0.5)
    assert command.wait().code == 130
    file = fake.folder(1) / "provenance" / "0001.json"
    known = json.loads(file.read_text())
    now = provenance.short(known["source"])
    known["source"] |= {"commit": "f" * 40, "dirty": True, "difference": "x", "difference_sha256": "e" * 64}
    file.write_text(json.dumps(known))
    difference = file.with_suffix(".diff")
    difference.write_text("x")
    again = fake.run({1: "finish"})
    assert again.code == 0, again.stderr
    sentence = f"resumes after epoch 1 at commit {now}; commit {'f' * 12}-dirty trained its last epoch"
    assert fake.planned(1)[2] == sentence
    assert f"{fake.folder(1).name}: {sentence}" in again.stdout.splitlines()
    (run,) = fake.runs(1)
    commits = f"{'f' * 12}-dirty (epoch 1), {now} (epoch 2)"
    assert run.data.tags[names.COMMIT] == commits

    assert main(["reproduce", "s1-", "--output-dir", str(fake.outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    second = json.loads((fake.folder(1) / "provenance" / "0002.json").read_text())["source"]
    assert lines[0] == f"# several sources trained it, one after the other: {commits}"
    patch = f"--whitespace=nowarn {difference}"
    assert lines[1:4] == [f"git checkout {'f' * 40}", f"git apply {patch}", "make setup"]
    assert lines[4].endswith("output_dir=outputs/again  # press Ctrl-C once during epoch 1, to stop after it")
    assert lines[5:7] == [f"git apply --reverse {patch}", f"git checkout {second['commit']}"]
    assert lines[-2:] == ["make setup", lines[4].partition("  #")[0]]


def test_a_real_training_notes_what_it_loaded(swept: Swept) -> None:
    assert swept.done.returncode == 0, swept.done.stderr
    for run in harness.runs(swept.outputs):
        noted = json.loads((harness.trial_folder(swept.outputs, run) / "sources" / "0001.json").read_text())
        assert noted["after"] == 0
        loaded = {"experiments/training/worker.py", "experiments/data/datasets.py", "groie/attention.py"}
        assert loaded <= set(noted["files"])
        counted = ("groie/", "experiments/training/", "experiments/data/")
        assert all(name.startswith(counted) for name in noted["files"])
        assert noted["files"] == {name: sources.meaning(harness.ROOT / name) for name in noted["files"]}
        assert json.loads(run.data.tags[names.CODE]) == noted["files"]
        assert run.data.tags[names.OPERATORS] == noted["operators"] == operators.backend()


EDITING = """
import json, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from experiments.planning import plan, sweep
from experiments.trial import sources
from tests.support.traces import describe, write_attempt, write_journal, write_provenance

tree, outputs = Path(sys.argv[1]), sys.argv[2]
module = tree / "groie" / "squeeze.py"

def planned(*more):
    arguments = ["pre=none,squeeze", f"output_dir={outputs}", *more]
    with initialize_config_dir(str(tree / "conf"), version_base="1.3"):
        return plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))

def printed(*more):
    print(json.dumps([[entry.trial.variant, entry.runs, entry.why] for entry in planned(*more).entries]))

loaded = {"groie/extractor.py", "groie/squeeze.py"}
for trial, files in zip(planned().trials, ({"groie/extractor.py"}, loaded)):
    folder = describe(trial)
    write_attempt(folder, 1, status="FINISHED")
    known = sources.loaded()
    assert loaded <= set(known)  # planning has built the module
    write_provenance(folder, 1, after=0, files={name: known[name] for name in files})
    write_journal(folder, *[(1.0, 1.0)] * trial.config["schedule"]["epochs"])
printed()
(tree / "groie" / "unrelated.py").write_text("ONE = 1")
module.write_text(module.read_text().replace("Scales each channel", "Multiplies each channel"))
printed()
module.write_text(module.read_text().replace("nn.Sigmoid()", "nn.Tanh()"))
printed()
printed("rerun=stale")
option = tree / "conf" / "pre" / "squeeze.yaml"
option.write_text(option.read_text().replace("ratio: 4", "ratio: 8"))
printed()
"""


def test_add_a_module_and_edit_it(tmp_path: Path) -> None:
    """Its comments mark nothing, its code marks its own trial alone; another argument in conf/ is another trial."""
    tree = tmp_path / "tree"
    for folder in ("conf", "experiments", "groie", "sweeps"):
        shutil.copytree(harness.ROOT / folder, tree / folder, symlinks=True)
    page = (harness.ROOT / "docs" / "add_a_module.md").read_text()
    module, option = page.split("```python\n")[1].split("```")[0], page.split("```yaml\n")[1].split("```")[0]
    (tree / "groie" / "squeeze.py").write_text(module)
    (tree / "conf" / "pre" / "squeeze.yaml").write_text(option)
    done = subprocess.run(
        [sys.executable, "-c", EDITING, str(tree), str(tmp_path / "outputs")],
        cwd=tree,
        env={**harness.of_nobody(), "PYTHONPATH": str(harness.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    plain, squeezed = ["faster_rcnn sum", False, ""], ["faster_rcnn sum pre=squeeze", False, ""]
    changed = "groie/squeeze.py has changed since"
    assert stages == [
        [plain, squeezed],
        [plain, squeezed],
        [plain, [squeezed[0], False, f"stale, {changed}; rerun=stale trains it again"]],
        [plain, [squeezed[0], True, f"trained again: {changed}"]],
        [plain, [squeezed[0], True, ""]],
    ]
