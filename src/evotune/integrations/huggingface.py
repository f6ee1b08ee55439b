"""Trials in the trainer of Hugging Face transformers, and in trainers built on it, as TRL's."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.trial import Purpose, RunningTrial, as_number, check_purpose, check_trial

try:
    from transformers import Trainer, TrainerCallback, set_seed
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "evotune.integrations.huggingface needs transformers and PyTorch; "
        'install them with pip install "evotune[huggingface]"'
    ) from error

log = logging.getLogger("evotune")

#: Learning-rate schedules that do not end after the epochs of one trial.
_ENDLESS = ("constant", "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau")

#: What a trainer adds to its metrics and a search has no use for.
_OTHERS = ("_runtime", "_per_second", "_preparation_time")

#: The seed of ``TrainingArguments`` where the user has written none.
_DEFAULT_SEED = 42


class TrialCallback(TrainerCallback):  # type: ignore[misc]
    """Joins a transformers trainer to the running trial; `hf_objective` adds it by itself.

    After each evaluation it reports the metrics, so that a stopping rule may end the trial. Where
    weights are inherited, as in population-based training, model, optimizer and learning-rate
    schedule start from the donor's state with this trial's params (see `RunningTrial.resume`), and
    are kept at the end.

    Args:
        trial: The running trial.
        monitor: Metrics to report, such as ``"eval_loss"``; one name or several. By default all
            that an evaluation gives.
        keep: Which weights the study keeps for `Study.restore`, see `RunningTrial.keep_for`.

    Raises:
        TaskError: From within ``train``: a monitored metric is missing, nothing is evaluated for a
            stopping rule, or the arguments are such that a budget or a donor has no effect.

    Attributes:
        metrics: What the last evaluation gave, by name.
        evaluated: Optimizer step of the last evaluation, or None.
    """

    def __init__(
        self,
        trial: RunningTrial,
        monitor: str | Sequence[str] | None = None,
        *,
        keep: Purpose | None = "best",
    ) -> None:
        check_trial(trial)
        check_purpose(keep)
        self.trial = trial
        self.monitor = (monitor,) if isinstance(monitor, str) else tuple(monitor or ())
        self.keep = keep
        self.metrics: dict[str, float] = {}
        self.evaluated: int | None = None
        self._epochs: Iterator[int] = iter(())
        self._state: dict[str, Any] = {}
        self._trains = False
        self._found: set[str] = set()  # the metrics that were reported

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Check the arguments, load the donor's weights and begin to count epochs."""
        trial = self.trial
        _check_arguments(args, trial)
        self._state = {
            "model": given["model"],
            "optimizer": _unwrapped(given["optimizer"], "optimizer"),
            "scheduler": _unwrapped(given["lr_scheduler"], "scheduler"),
        }
        trial.resume(**self._state)
        self._epochs = trial.epochs(default=max(1, math.ceil(args.num_train_epochs)))
        self._trains = True

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Count an epoch."""
        next(self._epochs, None)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Report the metrics; a stopping rule may end the trial here."""
        if not self._trains:
            return
        found = numbers(given["metrics"])
        # Several data sets are evaluated one after the other, each with metrics of its own.
        again = self.evaluated == state.global_step
        self.metrics = {**self.metrics, **found} if again else found
        self.evaluated = state.global_step
        watched = {name: found[name] for name in self.monitor or found if name in found}
        if watched:
            self._found.update(watched)
            # Within an epoch there may be several: by default they are counted on from its number.
            step = self.trial.reports[-1]["step"] if again and self.trial.reports else None
            self.trial.report(step, **watched)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Keep what other trials may start from."""
        self._trains = False
        missing = [name for name in self.monitor if name not in self._found]
        if missing and self.metrics:
            raise TaskError(
                f"monitor={missing[0]!r} is no metric of the evaluations, which gave "
                f"{', '.join(self.metrics)}{did_you_mean(missing[0], self.metrics)}"
            )
        if self.trial.watched and not self.trial.reports:
            raise TaskError(_NOT_EVALUATED)
        if hasattr(self._epochs, "close"):
            self._epochs.close()
        self.trial.keep_for(self.keep, **self._state)


def hf_objective(
    trainer_factory: Callable[[RunningTrial], Trainer],
    monitor: str | Sequence[str] | None = None,
    *,
    keep: Purpose | None = "best",
) -> Callable[[RunningTrial], dict[str, float]]:
    """Return an evaluate function that trains by a transformers ``Trainer``.

    Each trial gets a trainer of its own, which trains for the budget that the algorithm gives
    (else ``num_train_epochs``) and then evaluates; reports, stopping rules and inherited weights
    are those of `TrialCallback`. Before the factory is called everything random is seeded with the
    trial's seed, and so is the training, unless ``TrainingArguments(seed=...)`` says otherwise.
    Where the trainer saves checkpoints, each trial does so in a folder ``trial-3`` of its own in
    ``output_dir``. With ``workers=`` the factory is sent to the processes, and should load data and
    models itself.

    Args:
        trainer_factory: Function of a running trial that returns a new ``Trainer`` of a new model,
            with an ``eval_dataset``.
        monitor: As for `TrialCallback`, which reports them.
        keep: As for `TrialCallback`.

    Returns:
        A function of a running trial that returns ``train_loss`` and the metrics of the last
        evaluation, such as ``eval_loss`` and those of ``compute_metrics``.

    Raises:
        TaskError: It is no function; from within a trial, it returned no ``Trainer`` with an
            ``eval_dataset``, or see `TrialCallback`.

    Example:
        ``et.tune(hf_objective(make_trainer), space, "min eval_loss", trials=30, workers=2)``
    """
    if not callable(trainer_factory) or isinstance(trainer_factory, Trainer):
        raise TaskError(
            "hf_objective takes a function of a trial that returns a new Trainer: write "
            f"def make_trainer(trial): ... return Trainer(...); got {trainer_factory!r}"
        )
    return partial(_evaluate, trainer_factory, monitor, keep)


def _evaluate(
    factory: Callable[[RunningTrial], Trainer],
    monitor: str | Sequence[str] | None,
    keep: Purpose | None,
    trial: RunningTrial,
) -> dict[str, float]:
    set_seed(trial.seed)
    trainer = factory(trial)
    if not isinstance(trainer, Trainer) or trainer.eval_dataset is None:
        raise TaskError(
            "the function given to hf_objective needs to return a transformers Trainer with "
            f"eval_dataset=; it returned {_shown(trainer)}"
        )
    if any(isinstance(each, TrialCallback) for each in trainer.callback_handler.callbacks):
        raise TaskError("hf_objective adds a TrialCallback itself; leave yours out of the trainer")
    callback = TrialCallback(trial, monitor, keep=keep)
    trainer.add_callback(callback)
    args = trainer.args
    if trial.budget is not None:
        args.num_train_epochs = trial.budget
    if args.seed == _DEFAULT_SEED:
        args.seed = trial.seed
        set_seed(args.seed)  # the trainer itself has seeded everything with its default
    if _text(args.save_strategy) != "no":
        args.output_dir = str(Path(args.output_dir) / f"trial-{trial.number}")
    trained = trainer.train()
    found = callback.metrics
    if callback.evaluated != trainer.state.global_step or args.load_best_model_at_end:
        found = numbers(trainer.evaluate())
    return {"train_loss": float(trained.training_loss), **found}


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of an evaluation that are numbers, without how long it took."""
    found = {name: as_number(v) for name, v in metrics.items() if not name.endswith(_OTHERS)}
    return {name: v for name, v in found.items() if v is not None and name not in ("epoch", "step")}


_NOT_EVALUATED = (
    "stopping= has no effect on a training that is evaluated only at its end: write "
    'TrainingArguments(eval_strategy="epoch")'
)


def _check_arguments(args: Any, trial: RunningTrial) -> None:
    """Refuse what would make a budget, a donor or a stopping rule have no effect."""
    if args.world_size > 1:
        raise TaskError(
            f"a trial trains in one process, but this trainer has {args.world_size}: start "
            "without torchrun, and write study.run(..., workers=2) for several trials at once"
        )
    if trial.watched and _text(args.eval_strategy) == "no":
        raise TaskError(_NOT_EVALUATED)
    if trial.budget is not None:
        if args.max_steps > 0:
            raise TaskError(
                f"the algorithm gives trial {trial.number} a budget of {trial.budget:g} epochs, "
                f"which max_steps={args.max_steps} would replace: leave it out"
            )
        if args.num_train_epochs != trial.budget:
            raise TaskError(
                f"the algorithm gives trial {trial.number} a budget of {trial.budget:g} epochs, "
                f"but num_train_epochs={args.num_train_epochs:g}: write num_train_epochs="
                "trial.budget, or give the function that makes the trainer to hf_objective"
            )
    kind = _text(args.lr_scheduler_type)
    if (trial.keeps or trial.record.donors) and kind not in _ENDLESS:
        raise TaskError(
            f'lr_scheduler_type="{kind}" ends after the epochs of one trial, but here other trials '
            'go on from its weights: write TrainingArguments(lr_scheduler_type="constant"), or one '
            f"of {', '.join(_ENDLESS[1:])}"
        )


def _text(option: Any) -> str:
    return str(getattr(option, "value", option))


def _unwrapped(thing: Any, name: str) -> Any:
    """Return what accelerate has wrapped: an optimizer or a scheduler of torch."""
    is_wrapped = type(thing).__module__.startswith("accelerate.")
    return getattr(thing, name) if is_wrapped else thing


def _shown(thing: Any) -> str:
    is_trainer = isinstance(thing, Trainer)
    return "a Trainer without one" if is_trainer else f"{type(thing).__name__} {thing!r:.100}"
