"""Hydra's door to the plan: Hydra 1.3 takes sweepers only from this namespace package."""

from functools import partial

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class AblationSweeper(Sweeper):
    """Plans what the command line asks for as trials and gives those still to do to the configured launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Plans, launches and sums up; leaves with exit code 1 where a trial did not finish."""
        from experiments.jobs import submit
        from experiments.planning import beforehand, calibration, folders, plan, shown, sweep, throughput
        from experiments.record import provenance

        loader = self.hydra_context.config_loader
        planned = plan.make(sweep.requests(arguments), partial(loader.load_sweep_config, self.config))
        if planned.settings["dry_run"]:
            plan.look_at_data(planned)
            if planned.settings["calibrate"]:
                calibration.fill(planned)
            if planned.settings["resources"]["gmacs_per_second"]:
                throughput.fill(planned)
            shown.show(planned)
            print(plan.write(planned))
            return
        folder = submit.folder(planned)
        with open_dict(self.config):
            self.config.launch_dir = str(folder)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        submit.check_here(planned, launcher)
        beforehand.judge(planned)
        plan.look_at_data(planned)
        folders.freeze(planned)
        shown.show(planned)
        plan.write(planned)
        provenance.warn()
        stopped = submit.run(planned, launcher, folder)
        from experiments.jobs import matching  # these two with MLflow, which a dry run does without
        from experiments.record import sync

        for entry in planned.to_run:
            matching.await_other(entry.trial.paths, planned.settings["resources"]["patience"])
        sync.what_was_missed([entry.trial.paths for entry in planned.to_run], planned.settings)
        finished = plan.summarize(planned)
        if stopped:
            raise KeyboardInterrupt
        if not finished:
            raise SystemExit(1)
