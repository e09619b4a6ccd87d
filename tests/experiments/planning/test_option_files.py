"""Option files of users: a key that is missing, mistyped or outdated is refused at planning, in one sentence."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.errors import UserError
from experiments.planning import option_files
from tests.support import harness

ARGUMENTS = ("aggregation", "pre", "post")  # whose other keys are a class's arguments
GROUPS = harness.options()
PLAN = """
import json, sys
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from experiments.errors import UserError
from experiments.planning.hydra_errors import explain
from experiments.planning import plan, sweep
for arguments in json.loads(sys.argv[2]):
    try:
        with initialize_config_dir(sys.argv[1] + "/conf", version_base="1.3"):
            plan.make(sweep.requests(arguments), lambda overrides: compose("config", overrides))
        print("planned")
    except UserError as error:
        print("error:", error)
    except (HydraException, OmegaConfBaseException) as error:
        print("error:", explain(error))
"""
FILES = {
    "aggregation/nameless": "type: SumLevels\n",
    "aggregation/empty": "",
    "aggregation/mistyped": "name: mistyped\ntype: SumLevels\nlevel_activaton: none\n",
    "aggregation/nowhere": "name: nowhere\ntype: my_modules.Sum\n",
    "aggregation/two_lines": "name: two_lines\ntype: SumLevels\n",
    "pre/mistyped": "name: mistyped\ntype: RoIConv\nkernel_sizes: 3\n",
    "recipe/of_old": "defaults: [paper]\nname: of_old\naligned: false\n",
    "recipe/mistyped": "defaults: [upstream]\nname: mistyped\nsamplng_ratio: 3\n",
    "recipe/alone": "name: alone\nlevel_activation: relu\n",
    "recipe/wrong_rule": "defaults: [paper]\nname: wrong_rule\nroi_align: v3\n",
    "dataset/half": "name: half\nkind: coco\nroot: data\n",
}
ANSWERS = {
    "aggregation/nameless": "error: aggregation=nameless lacks name; write it into conf/aggregation/",
    "aggregation/empty": "error: aggregation=empty lacks name",
    "aggregation/mistyped": "error: aggregation=mistyped: argument of SumLevels 'level_activaton' is unknown",
    "aggregation/nowhere": "error: aggregation.type 'my_modules.Sum' is unknown (ModuleNotFoundError: No module ",
    "aggregation/two_lines": "planned",
    "pre/mistyped": "error: aggregation=sum pre=mistyped post=none cannot be built: TypeError: ",
    "recipe/of_old": "error: recipe=of_old: key 'aligned' is unknown (did you mean roi_align?); choose one of: name",
    "recipe/mistyped": "error: recipe=mistyped: key 'samplng_ratio' is unknown (did you mean sampling_ratio?)",
    "recipe/alone": "error: recipe=alone lacks pre_shared; write it into conf/recipe/, as in conf/recipe/paper.yaml",
    "recipe/wrong_rule": "error: recipe.roi_align 'v3' is unknown; choose one of: v1, legacy, aligned",
    "dataset/half": "error: dataset=half lacks train; write it into conf/dataset/, as in conf/dataset/coco.yaml",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What planning says to each file, in a copy of the code in which all were saved."""
    copy = tmp_path_factory.mktemp("copy") / "tree"
    for folder in ("conf", "experiments", "groie", "hydra_plugins", "sweeps"):
        shutil.copytree(harness.ROOT / folder, copy / folder, symlinks=True)
    for path, content in FILES.items():
        (copy / "conf" / f"{path}.yaml").write_text(content)
    commands = json.dumps([[path.replace("/", "=")] for path in FILES])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAN, str(copy), commands],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(FILES, [line for line in done.stdout.splitlines() if line], strict=True))


@pytest.mark.parametrize("file", FILES)
def test_users_option_file_is_planned_or_refused(file: str, answers: dict[str, str]) -> None:
    assert answers[file].startswith(ANSWERS[file]), answers[file]


def composed(*overrides: str) -> dict[str, Any]:
    """Returns what Hydra composes, not resolved: as the plan has it checked."""
    with initialize_config_dir(str(harness.ROOT / "conf"), version_base="1.3"):
        content = OmegaConf.to_container(compose("config", list(overrides)))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


@pytest.mark.parametrize("group", GROUPS)
def test_a_key_left_out_is_named(group: str) -> None:
    config = composed()
    needed = ("name", "type") if group in ARGUMENTS else config[group]
    for key in needed:
        left = {name: value for name, value in config[group].items() if name != key}
        with pytest.raises(
            UserError, match=f"^{group}=mine lacks {key}; write it into conf/{group}/, as in conf/{group}/"
        ):
            option_files.check({**config, group: left}, [f"{group}=mine"])


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ARGUMENTS])
def test_a_key_that_nothing_reads_is_named(group: str) -> None:
    config = composed()
    more: dict[str, Any] = {**config[group], "nme": 1}
    with pytest.raises(UserError, match=f"^{group}=mine: key 'nme' is unknown.*choose one of: "):
        option_files.check({**config, group: more}, [f"{group}=mine"])


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_ours_has_its_keys(group: str) -> None:
    for option in GROUPS[group]:
        override = f"{group}={option}"
        option_files.check(composed(override), [override])


def test_options_are_those_of_the_folder() -> None:
    """Else a group would go unchecked."""
    assert {path.name for path in (Path(harness.ROOT) / "conf").iterdir() if path.is_dir()} == {
        *GROUPS,
        "hydra",
        "module",
    }
