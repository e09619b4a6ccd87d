"""A store that is away when a trial ends: the sweep delivers it at its end, or says how to do so."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.commands import Place
from experiments.trial import stop_requests
from tests.support.running import Command, Fake, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass
class Away:
    """A store in a folder that can be taken away, and a sweep of two trials that records there."""

    fake: Fake
    command: Command
    place: Path

    def leave(self) -> None:
        self.place.rename(self.place.with_name("away"))

    def come_back(self) -> None:
        self.place.with_name("away").rename(self.place)

    def end(self, seed: int) -> None:
        wait_for(lambda: self.fake.began(seed))
        stop_requests.ask(self.fake.folder(seed), stop_requests.DRAIN)

    def statuses(self) -> list[tuple[int, str]]:
        (self.place / "mlflow.db").replace(self.fake.outputs / "mlflow.db")  # where the others' store is
        return self.fake.statuses(1, 2)


@pytest.fixture
def away(fake: Fake, empty_store: Path) -> Away:
    place = fake.outputs / "store"
    place.mkdir()
    (place / "mlflow.db").write_bytes(empty_store.read_bytes())
    command = fake.start({1: "go on", 2: "go on"}, f"tracking.uri=sqlite:///{place}/mlflow.db")
    wait_for(lambda: fake.began(1))
    return Away(fake, command, place)


def test_missed_records_are_delivered_at_the_end_of_the_sweep(away: Away) -> None:
    away.leave()
    away.end(1)
    wait_for(lambda: away.fake.began(2))
    away.come_back()
    away.end(2)
    out = away.command.wait().stdout
    assert "s1: MLflow's record is incomplete" in out
    assert "MLflow may lack" not in out
    assert away.statuses() == [(1, "KILLED"), (2, "KILLED")]


def test_records_still_missing_are_reported(away: Away) -> None:
    away.end(1)
    wait_for(lambda: away.fake.began(2))
    away.leave()
    away.end(2)
    command = away.command.wait()
    (told,) = (
        line for line in command.stdout.splitlines() if line.startswith("MLflow may lack some of these trials: ")
    )
    assert str(away.place) in told
    assert told.endswith(f"or deliver it later: {Place(away.fake.outputs).command('experiments', 'sync')}")
    assert (command.code, command.stderr.strip()) == (1, "")
    away.come_back()
    assert (1, "KILLED") in away.statuses()
