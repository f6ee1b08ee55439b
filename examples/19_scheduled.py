"""A schedule as genes: any search may look for how a hyperparameter changes over the epochs."""

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype(np.float32)
task = et.SupervisedTask(
    lambda params: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    loss="cross_entropy",
    optimizer="sgd",
    train=(x[:1200], labels[:1200]),
    validation=(x[1200:], labels[1200:]),
    epochs=8,  # the length of every schedule
)
space = et.Space(lr=et.Scheduled(et.Float(1e-3, 1.0, log=True)), momentum=et.Float(0.5, 0.95))
study = et.Study(et.Hybrid(space), "max accuracy", seed=1)
study.run(task, trials=20)
print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best}")
print(et.Schedule.of(study.best.params, epochs=8))
