"""Hydra's door to the plan: Hydra 1.3 takes sweepers only from this namespace package."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AblationSweeper(Sweeper):
    """Plans every combination of the overrides as trials and gives those still to do to the configured launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.compose = lambda overrides: hydra_context.config_loader.load_sweep_config(config, overrides)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Plans, launches and sums up; leaves with exit code 1 where a trial did not finish."""
        from experiments import plan

        (combinations,) = BasicSweeper.split_arguments(self._parse(arguments), max_batch_size=None)
        planned = plan.make(plan.sweep_name(arguments), combinations, self.compose)
        todo = plan.freeze(planned)
        plan.show(planned, todo)
        if todo:
            self.launcher.launch([trial.job_overrides for trial in todo], initial_job_idx=0)
        if not plan.summarize(planned):
            raise SystemExit(1)

    def _parse(self, arguments: list[str]) -> list:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        return OverridesParser.create().parse_overrides(arguments)
