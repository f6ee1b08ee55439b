"""Successive halving: short trainings first; only the promising ones go on, from their weights."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32)
y = torch.tensor(labels)

task = et.SupervisedTask(
    lambda params: nn.Sequential(
        nn.Linear(64, params["width"]), nn.ReLU(), nn.Linear(params["width"], 10)
    ),
    loss="cross_entropy",
    optimizer="sgd",
    train=(x[:1200], y[:1200]),
    validation=(x[1200:], y[1200:]),
)
space = et.Space(
    lr=et.Float(1e-4, 1.0, log=True),
    momentum=et.Float(0.0, 0.99),
    width=et.Int(8, 64, log=True),
)

algorithm = et.SuccessiveHalving(et.Hybrid(space), minimum=1, maximum=9)
study = et.Study(algorithm, "max accuracy", seed=1)
study.run(task, trials=27)

epochs = sum(trial.budget for trial in study.trials)
print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best.params}")
print(f"{epochs:.0f} epochs for what would have been {27 * 9} in full trainings")
