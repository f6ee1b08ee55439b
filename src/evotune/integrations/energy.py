"""Energy and carbon dioxide of each trial as metrics, estimated by codecarbon, offline."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.once import warn_once
from evotune.protocols import TaskTraits, task_traits
from evotune.running import RunningTrial
from evotune.trial import BARE_NUMBER, Failed, StopTrial, as_number

#: Names of the metrics.
ENERGY, CARBON = "energy_kwh", "co2_kg"

#: The trackers of this process by country; those of a process that was forked are its own.
_trackers: dict[tuple[int, str], Any] = {}


class Energy:
    """An evaluate function whose metrics also have ``energy_kwh`` and ``co2_kg``.

    They may be objectives: ``["max accuracy", "min energy_kwh"]``. Energy is that of one
    evaluation: of the processor, estimated from the processor time of its process and of those that
    it starts; of the machine's memory, some watts all the time; and of its GPUs, where they tell.
    With several trials at once, each is charged for all of the memory and the GPUs. Carbon dioxide
    is energy times what a kWh of the country emits. Nothing is sent or looked up anywhere. A
    stopped trial has what it took until then, a failed one nothing.

    Processors are looked at once a second: shorter evaluations are measured coarsely. The first one
    of a process also takes a second or two to start, which is not charged. Trials of a
    `SupervisedTask` are trained one by one, not stacked, as a stack has only one meter. What else
    the function has, such as the task's ``fit``, is there as before, and is not measured.

    Args:
        evaluate: A function of a trial, or a task.
        country: Where the machine stands: the three letters of ISO 3166-1, such as ``"DEU"``.

    Raises:
        TaskError: It is no function, the country is not known, or codecarbon is not installed.

    Example:
        ``study.run(et.Energy(train, country="DEU"), trials=60, workers=2)``
    """

    def __init__(self, evaluate: Callable[[RunningTrial], Any], *, country: str) -> None:
        if not callable(evaluate):
            raise TaskError(
                "Energy takes a function of a trial, or a task: write "
                f'et.Energy(train, country="DEU"); got {evaluate!r}'
            )
        if isinstance(evaluate, Energy):
            raise TaskError("the function is measured by Energy already; wrap it once")
        _check_country(country)
        self.evaluate = evaluate
        self.country = country

    def __repr__(self) -> str:
        return f"Energy({self.evaluate!r}, country={self.country!r})"

    def __getattr__(self, name: str) -> Any:
        # While it is unpickled it has nothing yet, and special names are looked up in its class.
        if name.startswith("__") or "evaluate" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.evaluate, name)

    @property
    def traits(self) -> TaskTraits:
        """Those of the function, but its trials are never trained as one model."""
        return TaskTraits(stacks=False, fit=task_traits(self.evaluate).fit)

    def __call__(self, trial: RunningTrial) -> Any:
        """Evaluate a trial, and add ``energy_kwh`` and ``co2_kg`` to its metrics.

        Raises:
            TaskError: The function returns a metric of one of these names.
        """
        self._say_if_unstacked(trial)
        returned, stopped = None, False
        with _measured(self.country) as measured:
            try:
                returned = self.evaluate(trial)
            except StopTrial:
                stopped = True
        if not measured:
            raise Failed("codecarbon measured nothing; its own log may say why")
        if stopped:
            # Recorded metrics are the last reported ones; this raises StopTrial again.
            trial.report(trial.reports[-1]["step"], **measured)
        number = as_number(returned)
        if number is not None:
            return {BARE_NUMBER: number, **measured}
        if returned is None or isinstance(returned, Failed) or not isinstance(returned, Mapping):
            return returned  # the trial has failed, and why is said where it is read
        if clash := sorted(measured.keys() & returned.keys()):
            raise TaskError(
                f"the function returns {', '.join(clash)} itself, which Energy measures: name it "
                "otherwise, or leave out et.Energy"
            )
        return {**returned, **measured}

    def _say_if_unstacked(self, trial: RunningTrial) -> None:
        is_member = trial.record.origin.member is not None
        if is_member and task_traits(self.evaluate).stacks:
            warn_once(
                "energy",
                "trials are trained one by one, not stacked, so that Energy can measure each; "
                "without it they are trained faster",
            )


@contextmanager
def _measured(country: str) -> Iterator[dict[str, float]]:
    """Measure the block; the dict is filled at its end. Failed or not, measuring ends with it."""
    tracker = _tracker(country)
    tracker.start_task()
    measured: dict[str, float] = {}
    try:
        yield measured
    finally:
        data = tracker.stop_task()
        if data is not None:
            measured |= {ENERGY: float(data.energy_consumed), CARBON: float(data.emissions)}


def _tracker(country: str) -> Any:
    """Return the one tracker of this process: it takes a second or more to start."""
    key = os.getpid(), country
    if key not in _trackers:
        codecarbon = _codecarbon()
        logging.getLogger("codecarbon").setLevel(logging.ERROR)  # it writes much to the screen
        _trackers[key] = codecarbon.OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            tracking_mode="process",
            allow_multiple_runs=True,
            log_level="error",
        )
    return _trackers[key]


def _codecarbon() -> Any:
    try:
        import codecarbon
    except ModuleNotFoundError as error:
        raise TaskError(
            'Energy needs the library codecarbon; install it with pip install "evotune[energy]"'
        ) from error
    return codecarbon


def _check_country(country: object) -> None:
    """Refuse what codecarbon does not know: it would take a mean of the world without a word."""
    _codecarbon()
    from codecarbon.input import DataSource

    known = DataSource().get_global_energy_mix_data()
    if not isinstance(country, str) or country not in known:
        names = {f"{place.get('country_name', '')}": code for code, place in known.items()}
        given = country if isinstance(country, str) else ""
        hint = did_you_mean(given, [*known, *names])
        code = next((c for name, c in names.items() if name.lower() == given.lower()), None)
        hint = f"; write country={code!r}" if code else hint
        raise TaskError(
            "country= is where the machine stands, three letters of ISO 3166-1 such as "
            f'"DEU", "FRA" or "USA"; got {country!r}{hint}'
        )
