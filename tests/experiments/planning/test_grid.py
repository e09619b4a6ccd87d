"""Every combination of aggregation, pre, post, architecture and recipe is built on the meta device or refused."""

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from mmdet.registry import MODELS

import groie  # noqa: F401  (registers the modules)
from experiments.planning.compose import resolve
from experiments.training import detector
from tests.support import harness

CONF = Path(__file__).parents[3] / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture(scope="module")
def parts() -> dict:
    """Each option of a group, composed once for each recipe, whose keys it may refer to."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {
            (recipe, group, option): resolve(compose("config", [f"recipe={recipe}", f"{group}={option}"]))
            for recipe in options("recipe")
            for group in ("aggregation", "pre", "post", "architecture")
            for option in options(group)
        }


@pytest.mark.long
def test_whole_grid_builds_or_is_refused(parts: dict) -> None:
    """Impossible is only one thing: a module per level before an aggregation that pools one level."""
    built: dict[str, str | None] = {}
    for recipe, aggregation, pre, post, architecture in product(
        *(options(group) for group in ("recipe", "aggregation", "pre", "post", "architecture"))
    ):
        config = {
            **parts[recipe, "architecture", architecture],
            "aggregation": parts[recipe, "aggregation", aggregation]["aggregation"],
            "pre": parts[recipe, "pre", pre]["pre"],
            "post": parts[recipe, "post", post]["post"],
        }
        settings = harness.typed(config)
        for pooling in settings.architecture.extractors.values():
            wanted = detector.extractor(settings, pooling)
            key = json.dumps(wanted, sort_keys=True)
            if key not in built:
                built[key] = refusal(wanted)
            impossible = recipe == "text" and aggregation in ("single", "random") and pre != "none"
            if impossible:
                assert "pre_shared=false does not apply" in (built[key] or "built")
            else:
                assert built[key] is None, (recipe, aggregation, pre, post, architecture)
    assert len(built) > 500  # the grid is not degenerate: its extractors differ


def refusal(config: dict) -> str | None:
    """Returns what the constructor says against a config, None where it is built."""
    try:
        with torch.device("meta"):
            MODELS.build(config)
    except ValueError as error:
        return str(error)
    return None
