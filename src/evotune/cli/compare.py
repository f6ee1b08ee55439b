"""``evotune compare``: run several methods with the same seeds and rank them."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from evotune.analysis.ranking import compare
from evotune.analysis.runs import RunLike
from evotune.analysis.statistics import runs_needed
from evotune.analysis.text import count
from evotune.checks import user_path
from evotune.cli.algorithms import algorithm_table, make_algorithm
from evotune.cli.config import Config, load, setting_of
from evotune.cli.console import is_live, make_console
from evotune.cli.records import answer, ranking_json
from evotune.cli.registry import at, check_names
from evotune.cli.run import INTERRUPTED, print_interrupted
from evotune.cli.source import Record, open_source, read_record
from evotune.cli.watch import run_watched
from evotune.errors import ConfigError, NoResultError
from evotune.printing import number
from evotune.study.study import Study
from evotune.training.command import CommandTask

#: Between the name of a method and the seed of its run, in the name of the study.
SEED = " · seed "
#: Options of `Study.run` that must agree, so that all methods have the same budget.
_BUDGET = ("trials", "epochs", "timeout")


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the compared methods.

    Attributes:
        name: Its name in tables.
        file: Its TOML file.
        study: The first part of its studies' names.
        algorithm: A table that replaces ``[algorithm]`` of the file, or None.
    """

    name: str
    file: Path
    study: str
    algorithm: Mapping[str, Any] | None = None

    def config(self, overrides: Mapping[str, Any]) -> Config:
        """Read the file; each call creates a new algorithm object."""
        config = load(self.file, overrides)
        if self.algorithm is None:
            return config
        setting = setting_of(config.objectives, config.of_run)
        with at(self.name):
            made = make_algorithm(self.algorithm, config.algorithm.space, setting)
        return replace(config, algorithm=made)


def compare_sources(
    sources: Sequence[str],
    overrides: Mapping[str, Any],
    *,
    algorithms: str | None,
    seeds: int | None,
    output: Path | None,
    as_json: bool = False,
) -> int:
    """Compare TOML files, several algorithms on one TOML file, or runs in a storage.

    Args:
        sources: TOML files; or a storage, and the names of the methods in it.
        overrides: Values that replace those in ``[study]`` of the files.
        algorithms: Names separated by commas, in place of the ``[algorithm]`` of a single file.
        seeds: Runs of each method; None means as few as can show a significant difference.
        output: The HTML page to write, if any.
        as_json: Print the ranking as JSON, and all else to the standard error.

    Returns:
        The exit code.

    Raises:
        ConfigError: The sources cannot be compared, or a file is invalid.
        StudyError: The stored runs cannot be compared.
    """
    if output is not None:
        user_path(output, ConfigError, (".html", ".htm"))
    console = make_console(sys.stderr if as_json else None)
    if sources[0].endswith(".toml"):
        arms = _arms(sources, algorithms)
        _check_same_task(arms, overrides)
        enough = runs_needed(math.comb(len(arms), 2))
        methods = _run(arms, overrides, enough if seeds is None else seeds, console)
        if methods is None:
            return INTERRUPTED
        notes = _cut(methods, arms[0].config(overrides).of_run.get("trials"))
    else:
        if algorithms or overrides:
            raise ConfigError("stored runs are compared as they are: the only option is --output")
        methods, notes = _stored(sources[0], sources[1:]), []
    ranking = compare(methods)
    ranking = replace(ranking, notes=(*ranking.notes, *notes))
    if as_json:
        print(answer(**ranking_json(ranking)))
    else:
        console.print(f"\n{ranking}", soft_wrap=True)
    if output is not None:
        from evotune.report.ranking_page import write_ranking  # plotly takes a while to load

        console.print(f"\n{write_ranking(output, ranking)}", soft_wrap=True)
    return 0


def _arms(sources: Sequence[str], algorithms: str | None) -> list[Arm]:
    files = [user_path(source, ConfigError) for source in sources]
    if any(file.suffix != ".toml" for file in files):
        raise ConfigError(f"compare takes either TOML files or one storage; got {_list(sources)}")
    if algorithms is None and len(files) < 2:
        raise ConfigError(
            f"compare needs a second method besides {files[0]}: add a second file, or "
            "--algorithms Genetic,RandomSearch"
        )
    if algorithms is not None and len(files) > 1:
        raise ConfigError(f"--algorithms takes one file, got {len(files)}: {_list(sources)}")
    names = [load(file, {}).name for file in files]
    if algorithms is None:
        arms = [Arm(name, file, name) for name, file in zip(names, files, strict=True)]
    else:
        (file,), (study,) = files, names
        with at("--algorithms"):
            tables = [algorithm_table(name.strip()) for name in algorithms.split(",")]
        called = [next(iter(table.values())) for table in tables]
        pairs = zip(called, tables, strict=True)
        arms = [Arm(name, file, f"{study} · {name}", table) for name, table in pairs]
    for arm in arms:
        if sum(other.name == arm.name for other in arms) > 1:
            raise ConfigError(
                f"two of the methods are named {arm.name!r}; give each file another name = "
                '"..." in its [study]'
            )
    if len(arms) < 2:
        raise ConfigError("--algorithms needs two or more names, such as Genetic,RandomSearch")
    return arms


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _check_same_task(arms: Sequence[Arm], overrides: Mapping[str, Any]) -> None:
    """Refuse files with different tasks, objectives or budgets; their spaces may differ."""
    first, *others = ((arm.file, arm.config(overrides)) for arm in arms)
    for file, config in others:
        for what in _differences(first[1], config):
            raise ConfigError(
                f"{first[0]} and {file} cannot be compared: {what}; make it the same in both files"
            )


def _differences(a: Config, b: Config) -> Iterator[str]:
    if a.objectives != b.objectives:
        yield f"the objective is {a.objectives} in one and {b.objectives} in the other"
    commands = isinstance(a.evaluate, CommandTask) and isinstance(b.evaluate, CommandTask)
    if a.evaluate is not b.evaluate and not (commands and a.evaluate == b.evaluate):
        yield "their [task] is not the same"
    for key in _BUDGET:
        ours, theirs = a.of_run.get(key, "not set"), b.of_run.get(key, "not set")
        if ours != theirs:
            yield f"{key} is {ours} in one and {theirs} in the other"


def _run(
    arms: Sequence[Arm], overrides: Mapping[str, Any], seeds: int, console: Console
) -> dict[str, list[RunLike]] | None:
    """Run or resume every arm with every seed; return None when interrupted."""
    done: dict[str, list[RunLike]] = {arm.name: [] for arm in arms}
    for seed in range(seeds):  # seed by seed, so that Ctrl-C leaves complete pairs
        for arm in arms:
            name = f"{arm.study}{SEED}{seed}"
            config = arm.config({**overrides, "name": name, "seed": seed})
            with config.open() as study:
                if is_live(console):
                    run_watched(study, config.evaluate, console, config.log, **config.of_run)
                else:
                    study.run(config.evaluate, **config.of_run, progress=False)
            if study.stop_reason == "interrupted":
                print_interrupted(console, study)
                return None
            console.print(f"{name}: {_outcome(study)}", soft_wrap=True)
            done[arm.name].append(Record(study.definition, study.trials))
    return done


def _cut(methods: dict[str, list[RunLike]], trials: int | None) -> list[str]:
    """Cut runs that have more trials from an earlier call, and return notes that say so."""
    longer = 0
    for runs in methods.values():
        for k, run in enumerate(runs):
            if trials is not None and len(run.trials) > trials:
                runs[k] = Record(run.definition, run.trials[:trials])
                longer += 1
    if not longer:
        return []
    return [
        f"{count(longer, 'run')} had more trials from an earlier call: only the first {trials} of "
        "each are compared; a larger --trials compares more"
    ]


def _outcome(study: Study) -> str:
    trials = count(len(study.trials), "trial")
    try:
        best = study.best
    except NoResultError:
        return f"{trials}, none of them with a result"
    names = study.objectives.needed
    return f"{trials}, best " + " ".join(f"{n} {number(best.metrics[n])}" for n in names)


def _stored(source: str, names: Sequence[str]) -> dict[str, list[RunLike]]:
    """Return the stored runs of some methods, or of all, by the names of their studies."""
    storage, _ = open_source(source)
    try:
        found: dict[str, list[RunLike]] = {}
        for summary in storage.studies():
            method, marked, seed = summary.definition.name.rpartition(SEED)
            if marked and seed.isdecimal():
                found.setdefault(method, [])
                if not names or method in names:
                    found[method].append(read_record(storage, summary))
    finally:
        storage.close()
    if not found:
        raise ConfigError(
            f"{source} holds nothing to compare: runs of a method are studies named "
            f'"<method>{SEED}0", "<method>{SEED}1", ..., which evotune compare FILE.toml ... makes'
        )
    check_names("method", names, found)
    return {name: found[name] for name in names or found}
