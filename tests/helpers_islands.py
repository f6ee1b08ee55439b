"""An algorithm that writes down what it is told, and a way to drive what wraps it."""

from dataclasses import replace

from evotune.algorithms.random_search import RandomSearch
from evotune.protocols import Traits
from evotune.seeding import generator
from evotune.space import Float, Space
from evotune.trial import Checkpoint, Failure, Origin, Proposal, Trial

SPACE = Space(x=Float(0, 1), y=Float(0, 1))


class Recorder:
    """Random genomes in generations; ``foreign`` is what it was told of and never asked for."""

    def __init__(self, size=3, *, interval=None, generational=True, space=SPACE):
        self.space = space
        self.population_size = size
        self.told = []
        self.weights = set()
        self._interval = interval
        self._started = {}
        self._ended = set()
        self.traits = Traits(generational=generational, population_size=size, interval=interval)

    @property
    def foreign(self):
        return [t for t in self.told if t.number not in self._started]

    @property
    def own(self):
        return [t for t in self.told if t.number in self._started]

    def ask(self, rng):
        generation, place = divmod(len(self._started), self.population_size)
        if place == 0 and len(self._ended) < len(self._started) and self.traits.generational:
            return None
        note = {"generation": generation, "place": place, "mine": {"island": 99}}
        budget = None if self._interval is None else float(self._interval)
        origin = Origin(generation=generation)
        proposal = RandomSearch(self.space).ask(rng)
        return replace(proposal, budget=budget, origin=origin, note=note)

    def tell(self, trial):
        self.told.append(trial)
        if "mine" in trial.note:
            self._started[trial.number] = trial.note
            if trial.has_ended:
                self._ended.add(trial.number)
                if trial.checkpoint is not None:
                    self.weights.add(trial.number)

    def donors(self):
        return self.weights


class Driver:
    """Asks, and ends trials when the test says so."""

    def __init__(self, algorithm, seed=0):
        self.algorithm = algorithm
        self.seed = seed
        self.trials = []

    def start(self):
        """Start a trial; None when nothing is proposed."""
        number = len(self.trials)
        proposal = self.algorithm.ask(generator(self.seed, number))
        if proposal is None:
            return None
        return self.adopt(proposal)

    def adopt(self, proposal: Proposal):
        trial = Trial(
            number=len(self.trials),
            genome=proposal.genome,
            params=self.algorithm.space.params(proposal.genome),
            state="running",
            seed=self.seed + len(self.trials),
            budget=proposal.budget,
            weights_from=proposal.weights_from,
            inherit=proposal.inherit,
            parents=proposal.parents,
            origin=proposal.origin,
            note=proposal.note,
        )
        self.trials.append(trial)
        self.algorithm.tell(trial)
        return trial

    def start_all(self):
        """Start trials until nothing is proposed, and return them."""
        started = []
        while (trial := self.start()) is not None:
            started.append(trial)
        return started

    def end(self, trial, value=None, **fields):
        """End a trial; without a value it has failed."""
        if value is None:
            ended = replace(trial, state="failed", failure=Failure("exception", "no"), **fields)
        else:
            ended = replace(trial, state="done", values=(float(value),), **fields)
        self.trials[trial.number] = ended
        self.algorithm.tell(ended)
        return ended

    def finish(self, trial, value=lambda trial: trial.genome["x"]):
        """End a trial with weights that are as old as their line."""
        donor = trial.weights_from
        before = 0 if donor is None else self.trials[donor].checkpoint.epochs
        self.end(trial, value(trial), checkpoint=Checkpoint(before + (trial.budget or 1), 8))

    def run(self, trials, value=lambda trial: trial.genome["x"]):
        """Run one trial after the other."""
        while len(self.trials) < trials and (trial := self.start()) is not None:
            self.finish(trial, value)
        return self
