"""Drivers and small tasks for the tests of successive halving."""

from dataclasses import replace

import torch
from torch import nn

from evotune.testing.algorithms import Rehearsal
from evotune.trial import Checkpoint

torch.set_num_threads(1)


class Ladder(Rehearsal):
    """A rehearsal whose trials can be ended with values and states of one's own."""

    def finish(self, trial, value=None, *, state="done", keeps=True, values=None):
        values = values or (None if value is None else (float(value),))
        before = max((self._epochs(donor) for donor in trial.donors), default=0.0)
        kept = Checkpoint(before + trial.budget, 0, external=True) if keeps else None
        ended = replace(trial, state=state, values=values, checkpoint=kept)
        self.trials[trial.number] = ended
        del self._running[trial.number]
        self._tell(ended)
        return ended

    def go(self, value, **options):
        """Start a trial and end it at once with a value."""
        return self.finish(self.start(), value, **options)


class Line(nn.Module):
    """One weight, whose number of steps can be read off it."""

    def __init__(self):
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x * self.steps


def count_epochs(seen):
    """A train function that adds one to its weight each epoch, and notes what it began with."""

    def train(trial):
        model = Line()
        trial.resume(model=model)
        began = model.steps.item()
        for _ in trial.epochs():
            with torch.no_grad():
                model.steps += 1
        trial.keep(model=model)
        seen[trial.number] = (began, model.steps.item())
        return {"loss": trial.params["x"]}

    return train
