"""What a proposal costs: CPU time on one thread, ten genes.

    OMP_NUM_THREADS=1 python benchmarks/search/proposal_cost.py            # about ten minutes
    OMP_NUM_THREADS=1 python benchmarks/search/proposal_cost.py models     # with a surrogate only

Models: the mean over the proposals that follow 100, 300 and 1,000 trials, so that fits which are
due only now and then have their share. Evolution: the mean trial, asked for and told, after 100
and after 10,000 finished ones; it must not grow.
"""

import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from parts import main

import evotune as et
from evotune.algorithms.auto import named
from evotune.names import SEARCHES
from evotune.protocols import Algorithm
from evotune.seeding import generator
from evotune.testing.algorithms import sphere

SPACE = et.Space(
    {f"x{k}": et.Float(0.0, 1.0) for k in range(6)},
    width=et.Int(1, 64, log=True),
    depth=et.Int(1, 9),
    kind=et.Choice("a", "b", "c"),
    flag=et.Bool(),
)
#: Trials, the bar in seconds, and over how many proposals the mean is taken.
BARS = ((100, 0.06, 30), (300, 0.10, 60), (1000, 0.20, 100))
#: Trials before each of the two measurements of an evolutionary algorithm, and of how many.
EARLY, LATE, MEASURED = 100, 10_000, 100
#: Factor by which two measurements of the same may differ.
NOISE = 1.5


class Run:
    """A search that is driven by hand on a noisy sphere."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.count = 0

    def grow(self, trials: int, *, at_random: bool = False) -> None:
        """Make trials until there are so many; at random where the algorithm need not be asked."""
        rng = np.random.default_rng(0)
        while self.count < trials:
            if at_random:
                self._tell(et.Proposal(SPACE.sample(rng)))
            else:
                self.step()

    def step(self, *, only_ask: bool = False) -> float:
        """Make one trial; return the CPU seconds of asking, and of telling unless it shall not."""
        begin = time.process_time()
        proposal = self.algorithm.ask(generator(1, self.count))
        asked = time.process_time() - begin
        if proposal is None:
            raise RuntimeError(f"{self.algorithm!r} has nothing to propose")
        told = self._tell(proposal)
        return asked if only_ask else asked + told

    def _tell(self, proposal: et.Proposal) -> float:
        trial = et.Trial(
            self.count,
            proposal.genome,
            SPACE.params(proposal.genome),
            "running",
            note=proposal.note,
            parents=proposal.parents,
        )
        noise = 0.01 * float(generator(2, self.count).standard_normal())
        ended = replace(trial, state="done", values=(sphere(SPACE, trial.genome) + noise,))
        self.count += 1
        begin = time.process_time()
        self.algorithm.tell(trial)
        self.algorithm.tell(ended)
        return time.process_time() - begin


def models() -> Iterator[tuple[str, ...]]:
    """Yield rows of the table of `Hybrid`, and of Optuna's GPSampler where it is installed."""
    run = Run(et.Hybrid(SPACE))
    for trials, bar, proposals in BARS:
        run.grow(trials, at_random=True)
        cost = statistics.mean(run.step(only_ask=True) for _ in range(proposals))
        yield "Hybrid", str(trials), f"{cost:.3f} s", f"{bar:.2f} s", _verdict(cost <= bar)
    peer = _gp_sampler(100, 10)
    if peer is not None:
        yield "Optuna GPSampler", "100", f"{peer:.3f} s", "", ""


def _gp_sampler(trials: int, proposals: int) -> float | None:
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    distributions = {name: _distribution(optuna, SPACE[name]) for name in SPACE}
    study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=0))
    rng = np.random.default_rng(0)
    for _ in range(trials):
        genome = SPACE.sample(rng)
        study.add_trial(
            optuna.trial.create_trial(
                params=genome, distributions=distributions, value=sphere(SPACE, genome)
            )
        )
    costs = []
    for _ in range(proposals):
        begin = time.process_time()
        trial = study.ask(distributions)
        costs.append(time.process_time() - begin)
        study.tell(trial, sphere(SPACE, trial.params))
    return statistics.mean(costs)


def _distribution(optuna: object, domain: object) -> object:
    kinds = optuna.distributions  # type: ignore[attr-defined]
    if isinstance(domain, et.Float):
        return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, et.Int):
        return kinds.IntDistribution(domain.low, domain.high, log=domain.log)
    return kinds.CategoricalDistribution(domain.options)  # type: ignore[attr-defined]


def evolution() -> Iterator[tuple[str, ...]]:
    """Yield rows of the table of every algorithm without a model."""
    for name in SEARCHES:
        if name in ("Hybrid", "Grid", "PopulationBasedTraining"):
            continue  # has a model; ends before; keeps weights, which nobody trains here
        run = Run(named(name, SPACE))
        run.grow(EARLY)
        early = statistics.mean(run.step() for _ in range(MEASURED))
        run.grow(LATE)
        late = statistics.mean(run.step() for _ in range(MEASURED))
        costs = f"{1e3 * early:.2f} ms", f"{1e3 * late:.2f} ms"
        yield name, *costs, f"{late / early:.2f}", _verdict(late <= NOISE * early)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


TABLES = {
    "models": (models, ("search", "after trials", "CPU a proposal", "bar", "verdict")),
    "evolution": (evolution, ("algorithm", f"after {EARLY}", f"after {LATE}", "ratio", "verdict")),
}


if __name__ == "__main__":
    main(__doc__, TABLES)
