"""`seed=auto` with fake trainings: rounds until each comparison is decided, whatever happens in between."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments import names
from experiments.__main__ import main
from tests.support import harness
from tests.support.automatic import Automatic, rules_of, seeds_of
from tests.support.running import Command, Fake, Preloaded, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")

# A row that is far off is decided by few seeds; one that is alike, never: it gets `most`, and so does the baseline.
ALL = seeds_of(none=3, conv1=3, conv5=2)
MOST = "seeds.most=3"


@pytest.fixture(scope="module")
def ended(preloaded: Preloaded, output_folder: Callable[[], Path]) -> tuple[Automatic, Command]:
    """A sweep that has ended, and its command; not to be changed."""
    sweep = Automatic(Fake(preloaded, output_folder()))
    return sweep, sweep.run(MOST)


@pytest.fixture
def auto(fake: Fake) -> Iterator[Automatic]:
    return Automatic(fake)


def test_rounds_until_all_is_decided(ended: tuple[Automatic, Command]) -> None:
    sweep, done = ended
    assert (done.code, done.stderr.strip()) == (0, "")
    assert sweep.finished() == ALL
    sweep.assert_whole()
    rounds = re.findall(r"^next round: (\d) trials", done.stdout, re.MULTILINE)
    assert rounds == ["6", "2"]
    assert re.findall(r"^\d different.*$", done.stdout, re.MULTILINE) == [
        *("1 different, 1 open", "1 different, 1 not decided")
    ]
    assert done.stdout.count("8 of 8 trials finished\n") == 1
    assert "seed=auto: 2 to 3 seeds a row, alpha 0.05, no budget; rules of 20" in done.stdout
    assert "finished before these rules" not in done.stdout


def test_status_tells_what_is_decided(ended: tuple[Automatic, Command], capsys: pytest.CaptureFixture[str]) -> None:
    sweep, _ = ended
    (name,) = {tag for one in sweep.descriptions().values() for key, tag in one["sweeps"].items() if "sweep." in key}
    for more in ([], ["--sweep", name]):
        assert main(["status", "--output-dir", str(sweep.outputs), *more]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "8 trials: 8 finished" in told
        assert re.search(r" different 2 \+\d\d\.\d \[\+\d\d\.\d, \+\d\d\.\d\] \.0\d\d ", told), told
        assert told.endswith("1 different, 1 not decided nothing is left to train")


@pytest.mark.parametrize("content", ["", '{"sweeps": [], "lines": [{}], "next": ""}', "\0", None])
def test_status_without_a_readable_file_of_the_rounds(
    ended: tuple[Automatic, Command], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    ignored = shutil.ignore_patterns("work", "artifacts", "data")
    outputs = shutil.copytree(ended[0].outputs, tmp_path / "outputs", ignore=ignored)
    (file,) = outputs.glob("rounds/*.json")
    file.unlink() if content is None else file.write_text(content)
    assert main(["status", "--output-dir", str(outputs)]) == 0
    told = capsys.readouterr()
    assert ("8 trials: 8 finished" in told.out, "not decided" in told.out, told.err) == (True, False, "")


def test_same_command_again_trains_nothing(ended: tuple[Automatic, Command]) -> None:
    sweep, _ = ended
    launches = set(sweep.outputs.glob("launches/*"))
    (file,) = sweep.outputs.glob("rounds/*.json")
    told = json.loads(file.read_text())
    file.unlink()
    again = sweep.run()
    assert (again.code, again.stderr.strip()) == (0, "")
    assert "1 different, 1 not decided\nnothing is left to train\n" in again.stdout
    assert set(sweep.outputs.glob("launches/*")) == launches
    assert json.loads(file.read_text()) == told
    assert {len(harness.attempts(path)) for path in sweep.outputs.glob("trials/*")} == {1}


POINTS = {
    "in the first round": lambda sweep: sweep.began("conv1", 0),
    "as the first round has ended": lambda sweep: sweep.finished() == seeds_of(none=2, conv1=2),
    "as the second round is planned": lambda sweep: sweep.folder("none", 2),
    "in the second round": lambda sweep: sweep.finished() == seeds_of(none=3, conv1=2),
}


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_killed_command_resumes(auto: Automatic, point: str) -> None:
    """To the same trials as one that nothing happened to."""
    command = auto.start(MOST, modules=["none", "conv1"])
    wait_for(lambda: POINTS[point](auto) or not command.running())
    command.signal(signal.SIGKILL)
    assert command.wait().code == -signal.SIGKILL
    again = auto.run(modules=["none", "conv1"])
    assert (again.code, again.stderr.strip()) == (0, ""), again.stdout
    assert auto.finished() == seeds_of(none=3, conv1=3)
    auto.assert_whole()
    (rules,) = {json.dumps(one) for tags in auto.descriptions().values() for one in rules_of(tags["sweeps"])}
    assert json.loads(rules)["most"] == 3


def test_stopped_command_asks_for_no_other_round(auto: Automatic) -> None:
    """Before that its rules are in all trials that are planned, and in MLflow once the first of them has begun."""
    command = auto.start(MOST, fates={"-none-none-s0-": "go on"})
    wait_for(lambda: auto.began("none", 0) and harness.runs(auto.outputs))
    described = [rules_of(one["sweeps"]) for one in auto.descriptions().values()]
    (recorded,) = (rules_of(run.data.tags) for run in harness.runs(auto.outputs))
    assert described == [recorded] * 6
    assert [(one["first"], one["most"], one["alpha"]) for one in recorded] == [(2, 3, 0.05)]
    command.signal(signal.SIGINT)
    assert command.wait().code == 130
    assert (auto.finished(), auto.in_state(names.FAILED, names.RUNNING)) == (set(), set())


@pytest.mark.long
def test_row_that_fails_is_not_extended(auto: Automatic) -> None:
    """The others are; at the end comes what failed."""
    modules = ["none", "conv1", "conv3"]
    done = auto.run(MOST, modules=modules, fates={"-conv1-none-s2-": "error"})
    assert done.code == 1
    assert auto.finished() == seeds_of(none=3, conv3=3, conv1=2)
    assert auto.in_state(names.FAILED) == {("conv1", 2)}
    assert "8 of 9 trials finished\n  failed  faster_rcnn-sum-conv1-none-s2-" in done.stdout
    assert "nothing is left to train: 1 open, because trials did not finish" in done.stdout
    left = auto.run(modules=modules)
    assert left.code == 1
    assert "8 of 9 trials finished\n  failed" in left.stdout
    assert auto.run("retry.failed=true", modules=modules).code == 0
    assert auto.finished() == seeds_of(none=3, conv3=3, conv1=3)


def test_fail_fast_ends_the_rounds(auto: Automatic) -> None:
    done = auto.run(MOST, "fail_fast=true", fates={"-conv5-none-s1-": "error"})
    assert done.code == 1
    assert ("conv1", 2) not in auto.in_state(names.FINISHED)
    assert auto.in_state(names.FAILED) == {("conv5", 1)}
