"""The contract of a stopping rule as a test suite."""

import math
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from evotune.evolution.stopping import Report, Standards, Stopping
from evotune.objectives import Objectives, parse_objectives
from evotune.testing.operators import check_value
from evotune.trial import Bar, Failure, Trial

#: Both directions, and several objectives of which both are reported.
OBJECTIVES = {
    "min": parse_objectives("min loss"),
    "max": parse_objectives("max loss"),
    "both": parse_objectives(["min loss", "max size"]),
}
#: Of a trial that has no chance, and of one that nobody beats, in what is minimised.
WORST, BEST = 1e6, -1e6

each_direction = pytest.mark.parametrize("direction", list(OBJECTIVES))


def _reports(objectives: Objectives, losses: Iterable[float]) -> tuple[Report, ...]:
    """Return a report a step whose objectives, minimised, are these."""
    return tuple(
        {"step": step, **{each.metric: each.score(loss) for each in objectives.objectives}}
        for step, loss in enumerate(losses)
    )


def _curves(objectives: Objectives, count: int, steps: int) -> list[Trial]:
    """Return done trials with curves that fall, each to an end of its own."""
    rng, time = np.random.default_rng(3), np.arange(steps)
    ends, speeds = rng.uniform(0, 1, count), rng.uniform(0.1, 1, count)
    return [
        Trial(n, {}, {}, "done", reports=_reports(objectives, (end + np.exp(-speed * time))))
        for n, (end, speed) in enumerate(zip(ends.tolist(), speeds.tolist(), strict=True))
    ]


def _odd_ones(like: Trial, first: int) -> list[Trial]:
    """Return trials that failed, were stopped or reported little, numbered from ``first``."""
    failure = Failure("exception", "diverged")
    names = [name for name in like.reports[0] if name != "step"]
    spoiled = tuple({**report, **dict.fromkeys(names, math.nan)} for report in like.reports)
    odd = [
        replace(like, state="failed", failure=failure),
        replace(like, state="failed", failure=failure, reports=()),
        replace(like, state="stopped", reports=like.reports[:1]),
        replace(like, reports=()),
        replace(like, reports=tuple({"step": n, "speed": 1.0} for n in range(3))),
        replace(like, reports=like.reports[::3]),
        replace(like, reports=spoiled),
    ]
    return [replace(trial, number=first + n) for n, trial in enumerate(odd)]


def _stopped_at(bar: Bar, reports: Iterable[Report]) -> float | None:
    """Return the step at which a bar stops a trial with these reports."""
    return next((report["step"] for report in reports if bar.stops(report)), None)


class StoppingContract:
    """What every stopping rule must do; subclass it and define ``make``.

    Example::

        class TestMine(StoppingContract):
            startup = 3

            def make(self):
                return MyStopping(startup=3)

    Attributes:
        grace: Steps, counted from 0, in which ``make``'s rule stops none.
        startup: Done trials that it must know before it stops any.
        compares: False for a rule that does not stop what is worse than all that are done.
        steps: Reports of each trial; a rule that judges late ones needs more.
    """

    grace: ClassVar[int] = 1
    startup: ClassVar[int] = 1
    compares: ClassVar[bool] = True
    steps: ClassVar[int] = 16

    def make(self) -> Stopping:
        """Return a new rule."""
        raise NotImplementedError("a stopping rule's test suite needs a method make(self)")

    def test_is_a_value(self) -> None:
        check_value(self.make)

    @each_direction
    def test_stops_the_hopeless_and_nobody_who_leads(self, direction: str) -> None:
        objectives, standards = OBJECTIVES[direction], self._knowing(direction)
        hopeless = _reports(objectives, [WORST] * self.steps)
        assert not self.compares or _stopped_at(standards.bar(), hopeless) is not None
        leading = _reports(objectives, [BEST] * self.steps)
        assert _stopped_at(standards.bar(), leading) is None

    @each_direction
    def test_nobody_is_stopped_in_the_first_steps(self, direction: str) -> None:
        bar = self._knowing(direction).bar()
        hopeless = _reports(OBJECTIVES[direction], [WORST] * self.grace)
        assert _stopped_at(bar, hopeless) is None

    @each_direction
    def test_nobody_is_stopped_before_enough_are_done(self, direction: str) -> None:
        """Those that failed, or reported nothing that could be looked at, do not count."""
        objectives = OBJECTIVES[direction]
        standards = self.make().fresh(objectives)
        hopeless = _reports(objectives, [WORST] * self.steps)
        curves = _curves(objectives, self.startup, self.steps)
        for trial in curves[:-1]:
            assert _stopped_at(standards.bar(), hopeless) is None
            standards.tell(trial)
        for trial in _odd_ones(curves[-1], first=self.startup)[:2]:
            standards.tell(trial)
        assert _stopped_at(standards.bar(), hopeless) is None

    @each_direction
    def test_goes_on_from_its_log(self, direction: str) -> None:
        """New standards that are told the log again, from storage, make the same bars."""
        log, standards = self._log(direction), self.make().fresh(OBJECTIVES[direction])
        for told, trial in enumerate(log, start=1):
            standards.tell(trial)
            if told % 5 == 0:
                again = self.make().fresh(OBJECTIVES[direction])
                for stored in log[:told]:
                    again.tell(replace(stored, reports=tuple(map(dict, stored.reports))))
                assert self._decisions(again, direction) == self._decisions(standards, direction)

    @each_direction
    def test_takes_every_trial_that_has_ended(self, direction: str) -> None:
        """Failed ones, those without reports, with few or with NaN; none of them is changed."""
        standards = self.make().fresh(OBJECTIVES[direction])
        for trial in self._log(direction):
            before = repr(trial)
            standards.tell(trial)
            assert repr(trial) == before
            self._decisions(standards, direction)

    @each_direction
    def test_a_bar_travels(self, direction: str) -> None:
        """To the worker where the trial runs, in the midst of its reports too."""
        standards = self._knowing(direction)
        for reports in self._probes(direction):
            here, there = standards.bar(), pickle.loads(pickle.dumps(standards.bar()))
            for report in reports:
                assert here.stops(report) == there.stops(report)
                there = pickle.loads(pickle.dumps(there))

    @each_direction
    def test_a_bar_stays_as_it_was_made(self, direction: str) -> None:
        """Whatever is told later, and whatever other trials report to theirs."""
        log, objectives = self._log(direction), OBJECTIVES[direction]
        standards = self.make().fresh(objectives)
        for trial in log[:9]:
            standards.tell(trial)
        before = self._decisions(standards, direction)
        bars = [standards.bar() for _ in self._probes(direction)]
        for trial in [*log[9:], *self._leaders(direction)]:
            standards.tell(trial)
        probes = self._probes(direction)
        assert [_stopped_at(b, p) for b, p in zip(bars, probes, strict=True)] == before

    def test_a_maximised_metric_is_judged_as_its_negative(self) -> None:
        minimised, maximised = (
            self._decisions(self._knowing(direction), direction) for direction in ("min", "max")
        )
        assert minimised == maximised

    def _knowing(self, direction: str) -> Standards:
        """Return standards that know many trials."""
        standards = self.make().fresh(OBJECTIVES[direction])
        for trial in self._log(direction):
            standards.tell(trial)
        return standards

    def _log(self, direction: str) -> list[Trial]:
        curves = _curves(OBJECTIVES[direction], 4 * self.startup + 12, self.steps)
        odd = _odd_ones(curves[0], first=len(curves))
        return [*curves[:3], *odd[:4], *curves[3:], *odd[4:]]

    def _leaders(self, direction: str) -> list[Trial]:
        reports = _reports(OBJECTIVES[direction], [BEST / 2] * self.steps)
        return [Trial(999 + n, {}, {}, "done", reports=reports) for n in range(50)]

    def _probes(self, direction: str) -> list[tuple[Report, ...]]:
        """Return the reports of trials from good to bad, of steady ones and of late ones."""
        objectives = OBJECTIVES[direction]
        levels = [[level] * self.steps for level in np.linspace(0.0, 2.5, 11).tolist()]
        late = [[WORST] * wait + [0.3] * (self.steps - wait) for wait in (1, 3, 6)]
        spoiled = [[0.5, math.nan] * (self.steps // 2)]
        return [_reports(objectives, losses) for losses in (*levels, *late, *spoiled)]

    def _decisions(self, standards: Standards, direction: str) -> Sequence[float | None]:
        return [_stopped_at(standards.bar(), reports) for reports in self._probes(direction)]
