"""A person opens `make ui` in a browser on a study of 200 runs, compares two of them and sees AP by epoch."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.experiments.mlflow_store.test_many_writers import side_by_side
from tests.support import harness, prepared
from tests.support.engines.served import Served

pytest.importorskip("selenium", reason="selenium is not installed: make test-engines")
from experiments import names
from experiments.commands import Place
from experiments.mlflow_store.runs import Run, Store
from experiments.paths import OutputPaths, TrialPaths
from tests.support.engines.browser import CHROMIUM, DRIVER, Pages, browser

pytestmark = pytest.mark.filterwarnings("ignore")

PRE = ("none", "conv1", "conv3", "conv5", "nonlocal")
POST = ("none", "conv3", "conv5", "attention")
SEEDS = 10
COUNT = len(PRE) * len(POST) * SEEDS
WRITERS = 4


@pytest.fixture(scope="module")
def study(output_folder: Callable[[], Path]) -> Path:
    """An output folder with 200 finished trials of 12 epochs, all in its store."""
    outputs = output_folder()
    folders = [
        prepared.finished(outputs, f"pre={pre}", f"post={post}", seed=seed, best=0.3 + 0.02 * row + 0.01 * column)
        for row, pre in enumerate(PRE)
        for column, post in enumerate(POST)
        for seed in range(SEEDS)
    ]
    shares = [OutputPaths(outputs).trial(str(number)) for number in range(WRITERS)]

    def write(share: TrialPaths) -> None:
        store = Store(Place(outputs, harness.store(outputs), "groie"))
        for paths in folders[int(share.root.name) :: WRITERS]:
            Run(store, paths).update()

    assert [process.exitcode for process in side_by_side(write, shares)] == [0] * WRITERS
    return outputs


@pytest.fixture(scope="module")
def ui(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("ui"), "ui", MLFLOW_TRACKING_URI=harness.store(study))
    served.start()
    yield served
    served.kill()


@pytest.fixture
def pages(ui: Served) -> Iterator[Pages]:
    """A browser at the address that `make ui` prints."""
    if not all(map(shutil.which, (CHROMIUM, DRIVER))):
        pytest.skip("there is no Chromium: make test-engines installs Debian's")
    with browser() as opened:
        opened.open(ui.log.read_text().splitlines()[0])
        opened.find(".ag-pinned-left-cols-container [role=row] a")
        yield opened
        assert opened.complaints() == []


def average_precisions(study: Path, name: str) -> list[float]:
    """Returns the box AP of each epoch in the journal of the trial whose run has a name."""
    for description in study.glob("trials/*/trial.json"):
        described = json.loads(description.read_text())
        if f"{described[names.VARIANT]} s{described[names.SEED]}" == name:
            records = map(json.loads, description.with_name("journal.jsonl").read_text().splitlines())
            return [record["metrics"]["bbox/AP"] for record in records]
    raise AssertionError(f"no trial is called {name!r}")


def test_list_shows_every_run_with_its_precision_and_factors(pages: Pages) -> None:
    pages.make_room()
    assert pages.runs()[0].startswith("faster_rcnn sum pre=nonlocal post=attention s")  # the best
    columns = {"bbox/AP", "bbox/AP50", "bbox/AP75", "aggregation", "pre", "post", "seed"}
    assert columns <= set(pages.text(".ag-header").split())
    pages.wait_for_text("100 matching runs")
    pages.load_more()
    pages.wait_for_text(f"{COUNT} matching runs")


def test_two_runs_are_compared_by_epoch(pages: Pages, study: Path, tmp_path: Path) -> None:
    pages.search("params.seed = '3' and params.post = 'attention'")
    pages.wait_for_text(f"{len(PRE)} matching runs")
    chosen = pages.choose(2)
    rest = f"post=attention schedule.epochs={prepared.EPOCHS} s3"
    assert chosen == [f"faster_rcnn sum pre={pre} {rest}" for pre in ("nonlocal", "conv5")]
    pages.make_room()
    pages.compare("bbox/AP")
    lines = pages.lines()
    assert [line["name"] for line in lines] == chosen
    for line, name in zip(lines, chosen, strict=True):
        assert line["x"] == list(range(1, prepared.EPOCHS + 1))
        assert line["y"] == average_precisions(study, name)
        assert min(line["width"], line["height"]) > 100  # it is drawn, from the left to the right
        assert f"{name} (bbox/AP)" in pages.text()  # the legend
    (tmp_path / "compare.png").write_bytes(pages.picture())
    picture = np.rint(255 * plt.imread(tmp_path / "compare.png")[..., :3])
    for line in lines:
        color = [int(part) for part in re.findall(r"\d+", line["color"])]
        assert (np.abs(picture - color).max(axis=-1) < 40).sum() > line["width"]  # smooth at its edges


def test_all_runs_are_compared_by_epoch(pages: Pages, study: Path, ui: Served) -> None:
    runs = [run.info.run_id for run in harness.runs(study)]
    asked = f"runs={json.dumps(runs)}&experiments={json.dumps(['1'])}"
    pages.open(f"{ui.uri}/#/compare-runs?{asked}")
    pages.wait_for_text(f"Comparing {COUNT} Runs from 1 Experiment")
    pages.open(f"{ui.uri}/#/metric?{asked}&metric=%22bbox%2FAP%22&plot_metric_keys=%5B%22bbox%2FAP%22%5D")
    pages.wait_for_text(f"{COUNT}/{COUNT}")
    assert len(pages.lines()) == COUNT
