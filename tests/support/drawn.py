"""Studies without a store, and what any drawing has to be like: words apart, within the page, and of known letters."""

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib.style
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis.drawing import sheet
from analysis.read import declarations
from analysis.read.runs import Histories, Point, Run
from analysis.read.study import Part, Study
from analysis.statistics.evidence import Evidence, evidence
from analysis.statistics.images import Draws
from experiments import names
from experiments.factors import FACTORS
from experiments.seeds import Recorded
from experiments.trial.matches import THRESHOLDS, Matches
from tests.support.recorded import silent

GPU = "Some GPU"


def study(
    sweep: str,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 12,
    data: str = "coco",
    absent: Collection[tuple[str, int]] = (),
    failed: Collection[tuple[str, int]] = (),
    costs: bool = True,
) -> Study:
    """Returns a declared sweep as if it had run: row i's last AP in seed s is .30 + i / 100 + s / 1000.

    Rows of the same overrides are one variant. Of trials (row's name, seed), `absent` have no run, `failed` came half
    the way. Small, medium and large objects: AP - .1, AP, AP + .1; masks: AP - .05. Row i costs 100 + 10 i
    multiply-adds.
    """
    declaration = declarations.of_sweep(sweep)
    assert declaration is not None
    served: dict[str, list[int]] = {}
    for place, row in enumerate(declaration.rows):
        served.setdefault(" ".join(sorted({*row.overrides} - {"architecture=faster_rcnn"})), []).append(place)
    runs: list[Run] = []
    histories: Histories = {}
    for number, (variant, places) in enumerate(served.items()):
        rows = [declaration.rows[place] for place in places]
        for seed in seeds:
            if (rows[0].name, seed) in absent:
                continue
            trial = f"{variant}-s{seed}"
            broken = (rows[0].name, seed) in failed
            came = range(1, (epochs // 2 if broken else epochs) + 1)
            end = 0.3 + number / 100 + seed / 1000
            metrics: dict[str, float] = {}
            for kind, less in (("bbox", 0.0), ("segm", 0.05)):
                for short in names.COCO_METRICS:
                    name = names.coco_metric(kind, short)
                    last = end - less + {"APs": -0.1, "APl": 0.1}.get(short, 0.0)
                    points = [Point(epoch, epoch, last - 0.01 * (epochs - epoch)) for epoch in came]
                    histories[trial, name] = points
                    metrics[name] = points[-1].value
            if costs:
                metrics |= {names.GMACS: 100.0 + 10 * number, names.SECONDS_PER_IMAGE: 0.1 + seed / 100 - number / 1000}
            for place, kind in enumerate((*names.ERROR_KINDS, *names.ERROR_SIDES)):
                metrics[names.error_metric("bbox", kind)] = (number + place) / 100 + seed / 1000
            tags = {names.TRIAL_ID: trial, names.VARIANT_ID: variant, names.VARIANT: variant}
            tags |= {names.COMMIT: "1f2e3d4c5b6a", names.GPU: GPU, names.HOST: "here"}
            for name in {sweep, *(row.sweep for row in rows)}:
                own = [row.name_in(name) for row in rows if name in (sweep, row.sweep)]
                tags |= {names.SWEEP + name: name, names.ROWS + name: json.dumps(own)}
            factors: dict[str, Any] = dict.fromkeys(FACTORS, "none") | {"profile": data, "dataset": data}
            factors |= dict(word.split("=") for word in variant.split() if word.split("=")[0] in FACTORS)
            status = names.FAILED if broken else names.FINISHED
            runs.append(Run(trial, status, len(runs), tags, {names.SEED: str(seed), **factors}, metrics))
    return Study(sweep, runs, histories, {}, [])


def typed(
    values: Mapping[str, Mapping[str, float]],
    settings: Mapping[str, Mapping[str, str]] | None = None,
    rules: Recorded | None = None,
    asked: Mapping[str, int] | None = None,
) -> Study:
    """Returns a typed sweep with these box APs, by variant and seed.

    Args:
        settings: factors other than the usual, by variant.
        rules: of `seed=auto`.
        asked: the second after 1970 at which a seed was asked for; its result came one second later.
    """
    runs, histories = [], {}
    for place, (variant, of_seed) in enumerate(values.items()):
        own = {"profile": "demo", "dataset": "shapes", **(settings or {}).get(variant, {})}
        for seed, ap in of_seed.items():
            trial = f"{variant}-s{seed}"
            tags = {names.TRIAL_ID: trial, names.VARIANT_ID: variant, names.VARIANT: variant}
            tags |= {names.SWEEP + "mine": "mine", names.PLACE + "mine": str(place)}
            tags |= {names.RULES + "mine": rules.text()} if rules else {}
            when = asked[seed] if asked else 0
            tags |= {names.ASKED + "mine": datetime.fromtimestamp(when, UTC).isoformat()} if asked else {}
            params = {**dict.fromkeys(FACTORS, "none"), **own, names.SEED: seed}
            runs.append(Run(trial, names.FINISHED, len(runs), tags, params, {"bbox/AP": ap}))
            histories[trial, "bbox/AP"] = [Point(1, 1000 * when + 1000, ap)]
    return Study("mine", runs, histories, {}, [])


def detector(found: float, seed: int, images: int = 40) -> Matches:
    """An object an image, of which this share is found, each by one detection."""
    hit = np.random.default_rng(seed).random(images) < found
    whole = np.where(hit, np.uint16(2**THRESHOLDS - 1), np.uint16(0))
    nothing = np.zeros(images, np.uint16)
    return Matches(
        image_ids=np.arange(images),
        class_ids=np.array([1]),
        image=np.arange(images, dtype=np.int32),
        category=np.zeros(images, np.int16),
        score=np.where(hit, 0.9, 0.1),
        matched=np.stack([whole, nothing, nothing, whole], axis=1),
        ignored=np.zeros((images, 4), np.uint16),
        object_image=np.arange(images, dtype=np.int32),
        object_category=np.zeros(images, np.int16),
        objects=np.tile(np.array([[1, 0, 0, 1]], np.int32), (images, 1)),
    )


def sure(found: Study, part: Part | None = None, iou_type: str = "bbox") -> Evidence:
    """Returns the evidence of a table of a study, of its first unless another is given."""
    known = evidence(found, part or found.parts[0], iou_type, silent)
    assert known is not None
    return known


def plain(drawn: Draws, metric: str) -> dict[str, dict[str, float]]:
    """Returns a metric on the images as they are, by row and seed."""
    number = names.COCO_METRICS.index(metric)
    return {row: {seed: float(own[0, number]) for seed, own in of.items()} for row, of in drawn.values.items()}


def words(figure: Figure) -> dict[str, Bbox]:
    """Returns where each text of a drawing is, in pixels, by the text and its number."""
    with matplotlib.style.context(sheet.STYLE):
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
    hidden = {label for axis in figure.findobj(Axis) for label in _out_of_view(axis)}
    found = [
        text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in hidden
    ]
    return {f"{number}: {text.get_text()}": text.get_window_extent(renderer) for number, text in enumerate(found)}


def _out_of_view(axis: Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    ticks = (*axis.get_major_ticks(), *axis.get_minor_ticks())
    return [label for tick in ticks if not low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)]


def assert_readable(figure: Figure) -> None:
    """Fails where two texts overlap or one leaves the page."""
    boxes = words(figure)
    assert len(boxes) > 5
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        apart = first.x1 <= second.x0 or second.x1 <= first.x0 or first.y1 <= second.y0 or second.y1 <= first.y0
        if not apart:
            pytest.fail(f"{one!r} lies on {other!r}: {first.extents}, {second.extents}")
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text!r} leaves the page: {box.extents} of {figure.bbox.extents}"
