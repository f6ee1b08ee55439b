"""Small data, small models and trials for the tests of tasks."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from evotune.running import RunningTrial
from evotune.training.task import SupervisedTask
from evotune.trial import Trial

torch.set_num_threads(1)


def start(params=None, *, seed=1, budget=None, dormant=None):
    params = params or {}
    genome = params | (dormant or {})
    return RunningTrial(Trial(3, genome, params, seed=seed, budget=budget))


@cache
def digits():
    """Training and validation data, 1200 and 597 images of 64 pixels between 0 and 1."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


@cache
def blobs(classes=3):
    """300 points in the plane around one centre a class, easy to tell apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % classes
    centres = 3 * np.stack([np.cos(labels), np.sin(labels)], axis=1)
    return centres + rng.normal(size=(300, 2)), labels


def mlp(inputs=2, outputs=3, width=8):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def blob_task(**options):
    """A task that trains in a few milliseconds."""
    defaults = {
        "model": lambda params: mlp(),
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "train": blobs(),
        "validation": blobs(),
        "epochs": 2,
    }
    return SupervisedTask(**(defaults | options))


def without_seconds(metrics):
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}
