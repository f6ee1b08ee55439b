"""Tables, conclusions and the command line of the experiments on time to a fixed quality."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from searches import Script
from tables import machine, params_lines, spread, table
from three_parents_targets import (
    Found,
    Limit,
    Run,
    Search,
    Setting,
    Training,
    measure,
    retrained,
    search,
)

from evotune.analysis.statistics import mean_interval, paired

MEASURES = {"batches": "batches", "billions": "10⁹ multiply-adds", "seconds": "CPU s"}


@dataclass(frozen=True, slots=True)
class Paper:
    """What the paper reports.

    Attributes:
        reference: Seconds of the reference's setting.
        found: Seconds of what its search found.
    """

    reference: float
    found: float

    @property
    def reduction(self) -> float:
        """Per cent of the reference's time that are saved."""
        return 100 * (1 - self.found / self.reference)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run.

    Attributes:
        seeds: Runs of every setting.
        searches: Seeds of every search.
        trials: Trials of a search.
        retrained: Fresh runs of the best of every search.
        limit: When a trial of a search gives up.
        again: When the best of a search, trained anew, gives up; by default as settings do.
    """

    seeds: int
    searches: int
    trials: int
    retrained: int
    limit: Limit
    again: Limit | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One experiment.

    Attributes:
        title: What it is.
        about: A paragraph on data, network, and what the paper leaves open.
        quality: What the test column says.
        paper: What the paper reports.
        settings: Fixed settings; the first one is the reference.
        searches: Searches, all with equally many trials.
        training: How one trial trains.
    """

    title: str
    about: str
    quality: str
    paper: Paper
    settings: Sequence[Setting]
    searches: Sequence[Search]
    training: Training


# -- tables ---------------------------------------------------------------------------------------


def settings_table(names: Sequence[str], runs: Sequence[Run], quality: str) -> str:
    """Return what every setting costs, and what it saves against the first one."""
    lines = []
    reference = of(runs, names[0])
    for name in names:
        own = of(runs, name)
        if not own:
            continue
        done = [run for run in own if run.reached]
        lines.append(
            [
                name,
                f"{len(done)} of {len(own)}",
                *(_mean([getattr(run, field) for run in done]) for field in MEASURES),
                _mean([run.check_seconds for run in done]),
                spread([run.test for run in done], 2) if done else "",
                *(_saved(own, reference, field) for field in MEASURES),
            ]
        )
    head = ["setting", "reached in", *MEASURES.values(), "CPU s of checks", quality]
    return table([*head, *(f"{text} saved, %" for text in MEASURES.values())], lines)


def of(runs: Sequence[Run], setting: str) -> list[Run]:
    """Return the runs of one setting."""
    return [run for run in runs if run.setting == setting]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    return spread(values, 0 if np.mean(values) >= 100 else 1)


def savings(own: Sequence[Run], reference: Sequence[Run], field: str) -> list[float]:
    """Return per cent saved for every pair of runs with the same seed that both have a figure."""
    before = {run.seed: getattr(run, field) for run in reference}
    pairs = [(getattr(run, field), before.get(run.seed, math.nan)) for run in own]
    return [100 * (1 - a / b) for a, b in pairs if math.isfinite(a / b)]


def _saved(own: Sequence[Run], reference: Sequence[Run], field: str) -> str:
    values = savings(own, reference, field)
    if not values or own[0].setting == reference[0].setting:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    low, high = mean_interval(np.array(values))
    return f"{np.mean(values):.1f} ({low:.1f} to {high:.1f})"


def searches_table(found: Sequence[Found], again: Sequence[Run]) -> str:
    """Return what every search found, and what its best costs when it is trained anew."""
    lines = []
    for name in dict.fromkeys(each.search for each in found):
        own = [each for each in found if each.search == name]
        runs = of(again, name)
        lines.append(
            [
                name,
                str(own[0].trials),
                _mean([each.missed for each in own]),
                _mean([each.seconds for each in own]),
                _mean([each.best for each in own if math.isfinite(each.best)]),
                f"{sum(run.reached for run in runs)} of {len(runs)}",
                *(_mean([getattr(r, field) for r in runs if r.reached]) for field in MEASURES),
                _mean([r.test for r in runs if r.reached]),
            ]
        )
    head = ["search", "trials", "missed", "CPU s, at most", "best trial, CPU s"]
    anew = ["best anew: reached in", *MEASURES.values(), "test"]
    return table([*head, *anew], lines)


# -- conclusions ----------------------------------------------------------------------------------


def conclusions(target: Target, runs: Sequence[Run], found: Sequence[Found]) -> list[str]:
    """Return what the figures say, wins and losses alike."""
    reference = of(runs, target.settings[0].name)
    searched = [how.name for how in target.searches if found or of(runs, how.name)]
    names = [setting.name for setting in target.settings[1:]] + searched
    lines = [_against(name, of(runs, name), reference, target.paper) for name in names]
    missed = [run for run in reference if not run.reached]
    if missed:
        lines.append(
            f"The reference gave up in {len(missed)} of {len(reference)} runs and counts with its "
            "limit there: what is saved is then at least what is said."
        )
    for how in target.searches:
        if how.control is not None:
            lines += _against_control(how.name, how.control, found, runs)
    return [line for line in lines if line]


def _against(name: str, own: Sequence[Run], reference: Sequence[Run], paper: Paper) -> str:
    values = savings(own, reference, "seconds")
    if not own or not values:
        return f"{name}: no run to compare." if not own else ""
    reached = sum(run.reached for run in own)
    verdict = "meets" if np.mean(values) >= paper.reduction else "misses"
    work = savings(own, reference, "billions")
    batches = savings(own, reference, "batches")
    rest = (
        f"; {np.mean(work):.1f} % fewer multiply-adds, {np.mean(batches):.1f} % fewer batches"
        if work
        else ""
    )
    return (
        f"{name} saves {np.mean(values):.1f} % of the reference's CPU seconds (worst "
        f"{min(values):.1f} %, reached in {reached} of {len(own)} runs){rest}: it {verdict} the "
        f"paper's −{paper.reduction:.1f} %."
    )


def _against_control(
    name: str, control: str, found: Sequence[Found], runs: Sequence[Run]
) -> list[str]:
    """Compare the medians of the best's fresh runs, a search seed each; failures count last."""
    ours, theirs = (_scores(each, found, runs) for each in (name, control))
    if len(ours) < 2 or len(ours) != len(theirs):
        return []
    gap = paired(theirs, ours)
    return [
        f"{name} against {control} at equal trials: the best of a search, trained anew, takes "
        f"{np.mean(ours):.1f} against {np.mean(theirs):.1f} CPU s (mean over {gap.pairs} searches; "
        f"saves {gap.mean:.1f}, 95 % CI {gap.low:.1f} to {gap.high:.1f}, better in {gap.larger} of "
        f"{gap.pairs}; so few pairs prove nothing either way)."
    ]


def _scores(name: str, found: Sequence[Found], runs: Sequence[Run]) -> list[float]:
    """Return the mean seconds of the fresh runs of each search's best, in order of seeds."""
    own = [each for each in found if each.search == name and each.params is not None]
    fresh = of(runs, name)
    size = len(fresh) // max(1, len(own))
    return [float(np.mean([r.seconds for r in fresh[k * size :][:size]])) for k in range(len(own))]


# -- running --------------------------------------------------------------------------------------


def run_settings(target: Target, scale: Scale, storage: str) -> list[Run]:
    """Train the settings in turn, seed by seed, so that load on the machine meets all alike."""
    runs: list[Run] = []
    for count in range(1, scale.seeds + 1):
        runs = []
        for setting in target.settings:
            own = measure(setting, target.training, range(count), storage)
            print(f"{setting.name}, run {count}: {own[-1].seconds:.1f} CPU s", flush=True)
            runs += own
    return runs


def run_searches(target: Target, scale: Scale, storage: str) -> list[Found]:
    """Run the searches in turn, seed by seed; return them kind by kind."""
    found: dict[str, list[Found]] = {how.name: [] for how in target.searches}
    for seed in range(1, scale.searches + 1):
        for how in target.searches:
            each = search(
                how,
                target.training,
                seed,
                trials=scale.trials,
                limit=scale.limit,
                storage=storage,
            )
            print(f"{how.name}, search {seed}: best {each.best:.1f} CPU s", flush=True)
            found[how.name].append(each)
    return [each for own in found.values() for each in own]


def fresh_runs(
    target: Target, scale: Scale, found: Sequence[Found], storage: str, limit: Limit
) -> list[Run]:
    """Train the best of every search anew."""
    seeds = range(scale.retrained)
    where = {"seeds": seeds, "storage": storage, "limit": limit}
    return retrained(found, target.searches, target.training, **where)


def run(script: Script, make: Any, arguments: Sequence[str] | None = None) -> None:
    """Run an experiment as the command line says, and print its tables and conclusions.

    Args:
        script: The command line.
        make: Makes the experiment from the scale and the directory of the data.
        arguments: What was given; by default what the program was started with.
    """
    options, scale = script.begin(arguments, picks=True)
    if options.seeds is not None:
        scale = replace(scale, searches=options.seeds)
    target = _picked(make(scale, options.data), options.only)
    storage = script.storage(options)
    runs = run_settings(target, scale, storage)
    found = run_searches(target, scale, storage)
    again = scale.again or target.settings[0].limit
    runs += fresh_runs(target, scale, found, storage, again)
    text = section(target, scale, runs, found, script.command(arguments))
    script.end(options, target.title, text)


def _picked(target: Target, names: Sequence[str] | None) -> Target:
    known = [each.name for each in target.searches]
    unknown = set(names or ()) - set(known)
    if unknown:
        raise SystemExit(f"--only: no search is called {unknown.pop()!r}; there are {known}")
    chosen = [each for each in target.searches if each.name in (names or known)]
    return replace(target, searches=chosen)


def section(
    target: Target, scale: Scale, runs: Sequence[Run], found: Sequence[Found], command: str
) -> str:
    """Return what was found, as Markdown."""
    names = [s.name for s in target.settings] + [s.name for s in target.searches]
    parts = [
        *([_head(scale, command), target.about, _paper_words(target.paper)] if command else []),
        settings_table(names, runs, target.quality),
    ]
    if found:
        parts += [
            "The searches; the best trial's own seconds are the least of several and too good, so "
            "it is trained anew:",
            searches_table(found, runs),
            params_lines([(f.search, f.seed, f.params) for f in found if f.params is not None]),
        ]
    parts += [
        "Conclusions, written by the script from these figures:",
        "\n".join(f"- {line}" for line in conclusions(target, runs, found)),
    ]
    return "\n\n".join(parts)


def _head(scale: Scale, command: str) -> str:
    searches = (
        f"{scale.searches} seeds of each search of {scale.trials} trials, each of which gives up "
        f"after {scale.limit.seconds:g} CPU seconds; the best of each search is trained anew with "
        f"{scale.retrained} fresh seeds."
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. {scale.seeds} runs of each setting; "
        f"{searches if scale.searches else 'the searches were left out.'} Command: `{command}`."
    )


def _paper_words(paper: Paper) -> str:
    return (
        f"Paper: {paper.reference:g} s before, {paper.found:g} s after its search, "
        f"−{paper.reduction:.1f} %. Mean ± standard deviation over runs that reached the "
        "target; what is saved is paired by seed, with its 95 % interval. Other jobs shared the "
        "machine: CPU seconds are inflated by up to twice, multiply-adds and batches are not."
    )
