"""What tables say of seeds that were added after looking, from real runs of the command."""

import pytest

from analysis.__main__ import main as analysis
from experiments import names
from tests.support import harness
from tests.support.automatic import Automatic
from tests.support.running import Fake

pytestmark = pytest.mark.filterwarnings("ignore")


def table(outputs: object, capsys: pytest.CaptureFixture[str]) -> str:
    """Returns the detailed table of the newest sweep, on one line."""
    capsys.readouterr()
    assert analysis(["table", "--detail", "--tracking-uri", f"sqlite:///{outputs}/mlflow.db"]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_seeds_added_by_hand_and_by_rules(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """First two seeds, then a third by hand, then rules: each table says what it rests on."""
    sweep = Automatic(fake)
    modules = ("none", "conv5")
    assert sweep.run("seed=0,1", modules=modules).code == 0
    assert "Seeds were added" not in table(sweep.outputs, capsys)
    assert sweep.run("seed=0,1,2", modules=modules).code == 0
    assert "Seeds were added after looking (2, then 3 seeds): p and the intervals" in table(sweep.outputs, capsys)
    asked = {
        one.data.params[names.SEED]: value
        for one in harness.runs(sweep.outputs)
        for tag, value in one.data.tags.items()
        if tag.startswith(names.ASKED)
    }
    assert asked["0"] < asked["2"]
    assert sweep.run("seeds.most=3", modules=modules).code == 0
    told = table(sweep.outputs, capsys)
    assert "Seeds were added by seed=auto, from 2 to at most 3 of a row (alpha 0.05)" in told
    assert "6 trials were finished before these rules were made, and may have been looked at." in told
