"""Hydra's door to the plan: Hydra 1.3 takes sweepers only from this namespace package."""

from functools import partial

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AblationSweeper(Sweeper):
    """Plans what the command line asks for as trials and gives those still to do to the configured launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config_loader = hydra_context.config_loader
        self.compose = partial(hydra_context.config_loader.load_sweep_config, config)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Plans, launches and sums up; leaves with exit code 1 where a trial did not finish."""
        from experiments import plan, sweep

        planned = plan.make(sweep.requests(arguments, self.config_loader), self.compose)
        todo = plan.freeze(planned)
        plan.show(planned, todo)
        if todo:
            for job in self.launcher.launch([trial.job_overrides for trial in todo], initial_job_idx=0):
                _ = job.return_value  # raises what went wrong around a trial; a trial that fails is no exception
        if not plan.summarize(planned):
            raise SystemExit(1)
