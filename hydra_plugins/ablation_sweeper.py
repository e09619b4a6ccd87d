"""The sweeper through which Hydra calls the plan; Hydra 1.3 loads sweepers only from this namespace package."""

from functools import partial
from typing import TYPE_CHECKING

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from experiments.planning.plan import Plan


class AblationSweeper(Sweeper):
    """Plans the trials of the command line and gives unfinished ones to the configured launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.compose = partial(hydra_context.config_loader.load_sweep_config, config)

    def sweep(self, arguments: list[str]) -> None:
        """Plans and launches the trials, and prints a summary; exits with code 1 if a trial did not finish."""
        from experiments.planning import plan, summary, sweep

        if sweep.is_automatic(arguments):
            from hydra_plugins import _seed_rounds

            _seed_rounds.run(arguments, self.compose, self.show, self.train)
            return
        planned = plan.make(sweep.requests(arguments), self.compose)
        if planned.settings.dry_run:
            self.show(planned)
            return
        stopped = self.train(planned)
        finished = summary.summarize(planned)
        if stopped:
            raise KeyboardInterrupt
        if not finished:
            raise SystemExit(1)

    def show(self, planned: "Plan") -> None:
        """Shows and writes a plan without starting it."""
        from experiments.jobs import calibration
        from experiments.planning import beforehand, summary, throughput

        beforehand.look_at_data(planned)
        if planned.settings.calibrate:
            calibration.fill(planned)
        if planned.settings.resources.gmacs_per_second:
            throughput.fill(planned)
        summary.show(planned)
        print(summary.write(planned))

    def train(self, planned: "Plan") -> bool:
        """Launches the trials to run and sends them to MLflow; returns whether the trials were asked to stop."""
        from experiments.jobs import submit
        from experiments.planning import beforehand, folders, summary
        from experiments.trial import provenance

        assert self.config is not None  # `setup` has set both
        assert self.hydra_context is not None
        folder = submit.folder(planned)
        with open_dict(self.config):
            self.config.launch_dir = str(folder)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        submit.check_here(planned, launcher)
        beforehand.judge(planned)
        beforehand.look_at_data(planned)
        folders.freeze(planned)
        summary.show(planned)
        summary.write(planned)
        provenance.warn()
        stopped = submit.run(planned, launcher, folder)
        from experiments.jobs import matching  # these two import MLflow, which a dry run does not need
        from experiments.mlflow_store import sync

        for entry in planned.to_run:
            matching.await_other(entry.trial.paths, planned.settings.resources.patience)
        sync.what_was_missed([entry.trial.paths for entry in planned.to_run], planned.place)
        return stopped
