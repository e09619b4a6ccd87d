"""report.html in a real browser: the answer on the first screen, tables that sort, nothing fetched, nothing cut off."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from analysis.read import study
from analysis.results import folder as paper
from experiments import names
from experiments.factors import FACTORS
from experiments.trial import matches
from tests.support import harness
from tests.support.drawn import detector
from tests.support.engines.browser import Pages, browser
from tests.support.recorded import silent

IMAGES = 60
ROWS = {"table1": {"baseline": "single", "random": "random", "sum": "sum"}, "table5": {"Mask R-CNN": "mask"}}
FOUND = {"single": 0.5, "random": 0.3, "sum": 0.8, "mask": 0.6}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on three seeds of a part of the paper's study."""
    folder = tmp_path_factory.mktemp("report")
    client = MlflowClient(harness.store(folder))
    experiment = client.create_experiment(names.EXPERIMENT, artifact_location=folder.as_uri())
    for table, rows in ROWS.items():
        for row, variant in rows.items():
            for seed in range(3):
                _record(client, experiment, folder, table, row, variant, seed)
    found = study.read(client, names.EXPERIMENT, "store", "paper", silent, print)
    paper.write(found, folder / "results", silent)
    return folder / "results" / "report.html"


def _record(client: MlflowClient, experiment: str, folder: Path, table: str, row: str, variant: str, seed: int) -> None:
    tags = {names.TRIAL_ID: f"{variant}-s{seed}", names.VARIANT_ID: variant, names.VARIANT: f"faster_rcnn {variant}"}
    tags |= {names.OVERRIDES: f"aggregation={variant} seed={seed}", names.COMMIT: "0123456789ab"}
    for sweep, name in ((table, row), ("paper", f"{table}: {row}")):
        tags |= {names.SWEEP + sweep: sweep, names.ROWS + sweep: json.dumps([name])}
    run = client.create_run(experiment, tags=tags).info.run_id
    factors = dict.fromkeys(FACTORS, "demo") | {names.SEED: str(seed)}
    points = [
        Metric(f"bbox/{short}", FOUND[variant] * epoch / 4 + seed / 100, epoch, epoch)
        for short in names.COCO_METRICS
        for epoch in range(1, 5)
    ]
    cost = [Metric(names.GMACS, 100 * FOUND[variant], 1, 0), Metric(names.SECONDS_PER_IMAGE, 0.02, 4, 4)]
    client.log_batch(run, params=[Param(key, value) for key, value in factors.items()], metrics=points + cost)
    matches.save(folder / "matches.npz", {"bbox": detector(FOUND[variant], seed, IMAGES)})
    client.log_artifact(run, str(folder / "matches.npz"))
    client.set_terminated(run)


@pytest.fixture(scope="module", params=[1280, 390])
def page(request: pytest.FixtureRequest, report: Path) -> Iterator[Pages]:
    with browser() as opened:
        size = {"width": request.param, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        opened.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened.open(report.as_uri())
        assert opened.driver.execute_script("return innerWidth") == request.param
        yield opened


def test_the_answer_is_on_the_first_screen(page: Pages) -> None:
    assert "Ablation on the choice of levels: sum is better than baseline by +" in page.text(".answers li")
    bottom = "return document.querySelector('.answers li').getBoundingClientRect().bottom"
    assert page.driver.execute_script(bottom) < 800


def test_nothing_sticks_out_but_tables_in_their_own_frames(page: Pages) -> None:
    script = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = page.driver.execute_script(script)
    assert needed <= there


def test_nothing_is_fetched_and_nothing_complains(page: Pages) -> None:
    assert page.complaints() == []
    assert page.driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_click_sorts_a_table_and_published_rows_stay_with_theirs(page: Pages) -> None:
    def first_column() -> list[str]:
        cells = page.driver.find_elements("css selector", "#table1 table:first-of-type tbody td:first-child")
        return [cell.text for cell in cells][:6]

    before = first_column()
    assert before[::2] == ["baseline", "random", "sum"]
    assert set(before[1::2]) == {"published (COCO, 1 run)"}
    (by_ap,) = page.driver.find_elements("xpath", "//section[@id='table1']//table[1]/thead//button[.='AP']")[:1]
    for order in (["sum", "baseline", "random"], ["random", "baseline", "sum"]):
        by_ap.click()
        assert first_column()[::2] == order
        assert first_column()[1::2] == before[1::2]


def test_it_can_be_printed(page: Pages) -> None:
    printed = page.driver.print_page()
    assert base64.b64decode(printed).startswith(b"%PDF")
