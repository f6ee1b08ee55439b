"""Run search methods on sets of problems, and keep every finished run.

    python benchmarks/search/run.py --set lcbench --methods Hybrid optuna-tpe random --seeds 5
    python benchmarks/search/run.py --set xgboost --methods peers
    python benchmarks/search/table.py --set lcbench

Methods: any algorithm of evotune, also with options (``Genetic:population_size=20``), ``random``,
the peers of `methods.PEERS`; ``peers`` stands for all of them with ``random``. A run that is there
already is not repeated, so that this can be stopped and started again at any time. Seeds come
outermost: a part of the runs compares all methods on the same seeds.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import methods
import records
import scale
from problem import SETS, Problem, problems

#: Read by the numerical libraries when they load, so set before a worker process starts.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """One run that is to be made."""

    method: str
    problem: Problem
    seed: int
    evaluations: int
    path: Path

    @property
    def key(self) -> records.Key:
        return records.Key(self.problem.name, self.seed, self.evaluations)

    def __str__(self) -> str:
        return f"{self.method} on {self.problem.name}, seed {self.seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; return 1 when a run failed."""
    options = _parser().parse_args(arguments)
    chosen = _installed(options.methods)
    found = problems(options.set, options.tasks, held_out=options.held_out)
    for problem in found:
        scale.measure(problem)
    jobs = list(_missing(options, chosen, found))
    print(f"{options.set}: {len(jobs)} runs to make", flush=True)
    failed = sum(not _report(job, error) for job, error in _made(jobs, options.jobs))
    return int(failed > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, required=True, help="set of problems")
    parser.add_argument("--methods", nargs="+", required=True, help="see above")
    parser.add_argument("--tasks", nargs="+", default=(), help="by default those for development")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--again", action="store_true", help="repeat runs that other code made")
    parser.add_argument("--held-out", action="store_true", help="allow tasks of the last judgement")
    return parser


def _installed(named: Sequence[str]) -> list[str]:
    everyone = [m for n in named for m in (["random", *methods.PEERS] if n == "peers" else [n])]
    missing = [method for method in everyone if not methods.is_installed(method)]
    if missing:
        print(f'not installed (pip install "evotune[bench]"): {", ".join(missing)}', flush=True)
    return [method for method in dict.fromkeys(everyone) if method not in missing]


def _missing(
    options: argparse.Namespace, chosen: Sequence[str], found: Sequence[Problem]
) -> Iterator[Job]:
    """Yield the runs that are not there: seeds outermost, then problems, then methods."""
    paths = {
        method: records.path_of(options.set, method, held_out=options.held_out) for method in chosen
    }
    there = {method: records.read(path) for method, path in paths.items()}
    stale = {m for m in chosen if any(not record.is_current(m) for record in there[m].values())}
    if stale and not options.again:
        print(f"kept runs of other code, --again repeats them: {', '.join(sorted(stale))}")
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for problem in found:
            for method in chosen:
                job = Job(method, problem, seed, options.evaluations, paths[method])
                record = there[method].get(job.key)
                wanted = record is None or (options.again and not record.is_current(method))
                if wanted and methods.suits(method, problem):
                    yield job


def _made(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, str]]:
    """Make the runs in processes of one thread and yield each with its error, if there was one."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_make, job): job for job in jobs}
        yield from ((running[done], done.result()) for done in as_completed(running))


def _make(job: Job) -> str:
    records.source(job.method)  # as it is now, when the code is loaded
    try:
        run = methods.minimise(job.method, job.problem, job.evaluations, job.seed)
    except Exception:  # one method's failure is not the end of a night's work
        return traceback.format_exc()
    records.append(job.path, records.finished(job.method, job.key, run))
    return ""


def _report(job: Job, error: str) -> bool:
    clock = time.strftime("%H:%M:%S")
    if error:
        print(f"{clock} FAILED {job}\n{error}", file=sys.stderr, flush=True)
    else:
        print(f"{clock} {job}", flush=True)
    return not error


if __name__ == "__main__":
    sys.exit(main())
