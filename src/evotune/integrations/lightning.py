"""Trials and schedules in Lightning, installed as ``lightning`` or as ``pytorch_lightning``."""

import contextlib
import importlib
import logging
import math
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.running import RunningTrial, check_purpose, check_trial
from evotune.schedules.schedule import Schedule
from evotune.schedules.torch import ScheduledOptimizer
from evotune.trial import Purpose, as_number

log = logging.getLogger("evotune")

#: Lightning's two names; they do not mix.
PACKAGES = ("lightning.pytorch", "pytorch_lightning")
#: What a trainer writes and prints by default, which in a search would be once for each trial.
CHATTER = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")


def _callback_bases() -> tuple[type, ...]:
    """Return the Callback class of each installed Lightning; a trainer accepts only its own."""
    bases = []
    for name in PACKAGES:
        try:
            bases.append(importlib.import_module(name).Callback)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise  # Lightning is installed, but one of its dependencies is not
    if not bases:
        raise ModuleNotFoundError(
            "evotune.integrations.lightning needs Lightning; "
            'install it with pip install "evotune[lightning]"'
        )
    return tuple(bases)


class ScheduleCallback(*_callback_bases()):  # type: ignore[misc]
    """Applies a schedule at the start of every training epoch.

    It sets the values in all optimizers of the trainer and in the dropout modules of the trained
    module. Write ``Trainer(callbacks=[ScheduleCallback(schedule)])``, and use no other scheduler
    for the same values.

    Args:
        schedule: The hyperparameters per epoch.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self._scheduled: list[ScheduledOptimizer] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Record the initial values of the optimizers, before a checkpoint is loaded."""
        self._scheduled = [
            ScheduledOptimizer(self.schedule, each, pl_module) for each in trainer.optimizers
        ]

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the hyperparameters of the epoch that begins."""
        for scheduled in self._scheduled:
            scheduled.apply(trainer.current_epoch)


class TrialCallback(*_callback_bases()):  # type: ignore[misc]
    """Joins a Lightning trainer to the running trial.

    After each validation it reports the metrics that the module has logged, so that a stopping rule
    may end the trial. Where the algorithm gives a budget, that is how many epochs are trained, in
    place of the trainer's ``max_epochs``. Where weights are inherited, as in population-based
    training, the module, its optimizers and learning-rate schedulers start from the donor's state
    with this trial's params (see `RunningTrial.resume`), and are kept at the end.

    Give each trial a new callback, module and trainer, on one device. `fit` does so by itself; with
    a trainer of your own::

        def train(trial):
            callback = TrialCallback(trial, monitor="val_accuracy")
            trainer = lightning.Trainer(max_epochs=5, callbacks=callback, logger=False)
            trainer.fit(Net(**trial.params), training, validation)
            return callback.metrics

    Args:
        trial: The running trial.
        monitor: Metrics to report, as the module logs them in ``validation_step``
            (``self.log("val_accuracy", ...)``); one name or several.
        keep: Which weights the study keeps for `Study.restore`, see `RunningTrial.keep_for`.

    Raises:
        TaskError: From within ``fit``: a monitored metric was not logged, nothing was reported to a
            stopping rule, or the trainer is set up so that a budget or a donor has no effect.

    Attributes:
        metrics: What was reported last, by name: an evaluate function can return it.
    """

    def __init__(
        self,
        trial: RunningTrial,
        monitor: str | Sequence[str],
        *,
        keep: Purpose | None = "best",
    ) -> None:
        super().__init__()
        check_trial(trial)
        check_purpose(keep)
        self.trial = trial
        self.monitor = _names(monitor)
        self.keep = keep
        self.metrics: dict[str, float] = {}
        self._epochs: Iterator[int] = iter(())
        self._on_interrupt: Any = None  # what this process does at Ctrl-C

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the number of epochs, and load the donor's weights."""
        trial = self.trial
        self._on_interrupt = signal.getsignal(signal.SIGINT)
        if trainer.world_size > 1:
            raise TaskError(
                f"a trial trains on one device, but this trainer has {trainer.world_size}: write "
                "Trainer(devices=1), and study.run(..., workers=2) for several trials at once"
            )
        if trainer.ckpt_path is not None and trial.record.donors:
            raise TaskError(
                f"trial {trial.number} starts from the weights of trial {trial.record.donors[0]}, "
                "which ckpt_path= would replace: leave it out"
            )
        if trial.budget is not None:
            if trainer.max_steps != -1:
                raise TaskError(
                    f"the algorithm gives trial {trial.number} a budget of {trial.budget:g} "
                    f"epochs, which max_steps={trainer.max_steps} would cut: leave it out"
                )
            trainer.fit_loop.max_epochs = math.ceil(trial.budget)
        trial.resume(**self._state(trainer, pl_module))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count epochs."""
        most = trainer.max_epochs
        self._epochs = self.trial.epochs(default=10**9 if most in (None, -1) else most)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Count an epoch."""
        next(self._epochs, None)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the metrics; a stopping rule may end the trial here."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        logged = trainer.callback_metrics
        found = {name: as_number(logged.get(name)) for name in self.monitor}
        if missing := [name for name, value in found.items() if value is None]:
            raise TaskError(
                f"monitor={missing[0]!r} is no metric that was logged by the end of validation, "
                f"but {', '.join(logged) or 'none'}; write self.log({missing[0]!r}, value) in "
                f"validation_step{did_you_mean(missing[0], logged)}"
            )
        self.metrics = {name: value for name, value in found.items() if value is not None}
        self.trial.report(**self.metrics)  # after each epoch its number is the step

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep what other trials may start from."""
        if self.trial.watched and not self.trial.reports:
            raise TaskError(
                "stopping= has no effect on this training, which has reported nothing: give fit "
                "validation data, and log a metric in validation_step"
            )
        _close(self._epochs)
        self.trial.keep_for(self.keep, **self._state(trainer, pl_module))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let Ctrl-C end the run of the study; Lightning would end the process instead."""
        _close(self._epochs)
        if isinstance(exception, KeyboardInterrupt):
            signal.signal(signal.SIGINT, self._on_interrupt)  # Lightning ignores all further ones
            raise exception

    def _state(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        optimizers = enumerate(trainer.optimizers)
        schedulers = enumerate(config.scheduler for config in trainer.lr_scheduler_configs)
        return {
            "model": pl_module,
            **{f"optimizer{index or ''}": each for index, each in optimizers},
            **{f"scheduler{index or ''}": each for index, each in schedulers},
        }


def fit(
    trial: RunningTrial,
    module: Any,
    *data: Any,
    monitor: str | Sequence[str],
    keep: Purpose | None = "best",
    **options: Any,
) -> dict[str, float]:
    """Train a module in a trial: a trainer that prints and writes nothing, with a `TrialCallback`.

    ::

        def train(trial):
            return fit(trial, Net(**trial.params), training, validation, monitor="accuracy")

    Args:
        trial: The running trial.
        module: The module; its own Lightning, ``lightning`` or ``pytorch_lightning``, trains it.
        data: Data loaders of training and validation, or one ``LightningDataModule``.
        monitor: Metrics to report, see `TrialCallback`.
        keep: Which weights the study keeps, see `TrialCallback`.
        options: Of Lightning's ``Trainer``, such as ``max_epochs=5`` or ``logger=True``.

    Returns:
        The metrics of the last validation.

    Raises:
        TaskError: See `TrialCallback`; or the module is none of Lightning's.
    """
    callback = TrialCallback(trial, monitor, keep=keep)
    callbacks = options.pop("callbacks", None) or []
    several = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    quiet = dict.fromkeys(CHATTER, False) | {"devices": 1, "callbacks": [*several, callback]}
    package = _package_of(module)
    with _warnings_only():
        trainer = importlib.import_module(package).Trainer(**quiet | options)
        if len(data) == 1 and hasattr(data[0], "train_dataloader"):
            trainer.fit(module, datamodule=data[0])
        else:
            trainer.fit(module, *data)
    return callback.metrics


@contextlib.contextmanager
def _warnings_only() -> Iterator[None]:
    """Keep Lightning's log to warnings, unless its user has asked for more than it logs itself."""
    # Where both are installed, either may write what the other one logs.
    loggers = [each for each in map(logging.getLogger, PACKAGES) if each.level == logging.INFO]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger in loggers:
            logger.setLevel(logging.INFO)


def _package_of(module: Any) -> str:
    """Return the name of the Lightning that a module is of."""
    for each in type(module).__mro__:
        for package in PACKAGES:
            if each.__module__.startswith(f"{package}."):
                return package
    raise TaskError(
        f"fit trains a LightningModule, got {type(module).__name__}; write fit(trial, "
        'Net(**trial.params), training, validation, monitor="val_loss")'
    )


def _names(given: object) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise TaskError(
            f'monitor= is the name of a metric, such as "val_loss", or several; got {given!r}'
        )
    return tuple(names)


def _close(epochs: Any) -> None:
    """End the counting of epochs, and with it the time that counts as training."""
    if hasattr(epochs, "close"):
        epochs.close()
