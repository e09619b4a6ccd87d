"""Nothing in a file that a trial reads is executed: checkpoints of its own and of others, arrays, YAML."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support import harness, hostile
from tests.support.running import Fake, Preloaded, Swept

pytestmark = pytest.mark.filterwarnings("ignore")

UNGUARDED = """
import sys
from mmengine import Config
from mmengine.runner import checkpoint
for path in sys.argv[1:]:
    try:
        meta = checkpoint.load_from_local(path, "cpu")["meta"]
        Config.fromstring(meta["config"], ".py")  # as Runner.resume does
    except Exception as error:
        print(type(error))
"""
REFUSED = (
    "CheckpointError: {} is not a checkpoint of weights and plain values (UnpicklingError) and was not loaded; "
    "give one that torch.load reads with weights_only=True"
)


def test_the_attacks_succeed_where_nothing_guards(tmp_path: Path) -> None:
    """Else the tests below would show nothing."""
    attacks = (hostile.call, hostile.config, hostile.escape)  # the last leaves a process that cannot load
    for attack in attacks:
        hostile.write(tmp_path / f"{attack.__name__}.pth", attack(tmp_path / attack.__name__))
    files = [str(tmp_path / f"{attack.__name__}.pth") for attack in attacks]
    unguarded = {key: value for key, value in harness.of_nobody().items() if key != "TORCH_FORCE_WEIGHTS_ONLY_LOAD"}
    command = [sys.executable, "-c", UNGUARDED, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=harness.PATIENCE, env=unguarded)
    assert [attack.__name__ for attack in attacks if not (tmp_path / attack.__name__).exists()] == []


@pytest.mark.long
def test_resuming_from_a_hostile_checkpoint(fake: Fake, preloaded: Preloaded, tmp_path: Path) -> None:
    """Its digest is right. The trial fails with one sentence; one whose hostile config is ignored resumes."""
    attacks = {1: hostile.call, 2: hostile.config}
    assert fake.run(dict.fromkeys(attacks, "error")).code == 1
    for seed, attack in attacks.items():
        (fake.folder(seed) / "work").mkdir()
        hostile.write(fake.folder(seed) / "work" / "epoch_1.pth", attack(tmp_path / str(seed)))
    again = (*harness.TINY, "seed=1,2", f"output_dir={fake.outputs}", "retry.failed=true")
    assert preloaded.run("-m", *again).code == 1
    refused = REFUSED.format(fake.folder(1) / "work" / "epoch_1.pth")
    assert fake.attempts(1)[1:] == [("FAILED", refused)]  # once: it would not pass
    assert fake.attempts(2)[1:] == [("FINISHED", None)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_hostile_pretrained_weights(fake: Fake, preloaded: Preloaded, tmp_path: Path) -> None:
    file = tmp_path / "escape.pth"
    hostile.write(file, hostile.escape(tmp_path / "marker"))
    weights = f"profile.model.backbone.init_cfg={{type:Pretrained,checkpoint:{file}}}"
    done = preloaded.run(*harness.TINY, weights, f"output_dir={fake.outputs}")
    assert done.code == 1, done.stderr
    (run,) = harness.runs(fake.outputs)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", REFUSED.format(file))
    assert not (tmp_path / "marker").exists()


def test_weights_from_the_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch unpickles what it downloads unless told otherwise."""
    from mmengine.runner import checkpoint

    from experiments.training import hooks
    from groie.convert import CheckpointError

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save({"weight": torch.ones(2)}, cache / "good.pth")
    torch.save(hostile.call(tmp_path / "marker"), cache / "bad.pth")
    assert checkpoint.load_url is hooks.safe_loading.fetch
    good = checkpoint.load_from_http("https://example.org/good.pth", "cpu")
    assert good["weight"].tolist() == [1, 1]
    with pytest.raises(CheckpointError, match=r"https://example\.org/bad\.pth is not a checkpoint of weights"):
        checkpoint.load_from_http("https://example.org/bad.pth", "cpu")
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(cache / "bad.pth", weights_only=False)  # as MMDetection, or anybody, might ask
    assert not (tmp_path / "marker").exists()


def test_own_checkpoints_are_weights_and_plain_values(swept: Swept) -> None:
    """torch reads them as data without being told to trust anything."""
    files = sorted(swept.outputs.glob("trials/*/work/*.pth"))
    assert len(files) == 4
    for file in files:
        content = torch.load(file, map_location="cpu", weights_only=True)
        assert {"state_dict", "optimizer", "param_schedulers"} <= content.keys()


def unsafe(source: str) -> set[str]:
    """Returns the calls in a source that run what they read."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {f"{option.arg}={ast.unparse(option.value)}" for option in node.keywords}
            bad = name in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load")
            bad |= name == "torch.load" and "weights_only=True" not in options
            bad |= name == "yaml.load" and "Loader=yaml.CSafeLoader" not in options
            bad |= name == "np.load" and "allow_pickle=False" not in options
            if bad:
                found.add(ast.unparse(node))
    return found


def test_no_source_calls_what_runs_what_it_reads() -> None:
    assert unsafe("torch.load(p); np.load(p, allow_pickle=True); yaml.load(t)") == {
        "torch.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t)",
    }
    packages = ("groie", "experiments", "analysis", "hydra_plugins", "benchmarks")
    sources = [path for package in packages for path in (harness.ROOT / package).rglob("*.py")]
    assert {str(path): unsafe(path.read_text()) for path in sources if unsafe(path.read_text())} == {}
