"""Tune a PyTorch network in two processes, kept on disk: kill it, run it again, it goes on."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x, x_validation, y, y_validation = train_test_split(images / 16, labels, random_state=0)


def network(params):
    return nn.Sequential(
        nn.Linear(64, params["units"]),
        nn.ReLU(),
        nn.Dropout(params["dropout"]),
        nn.Linear(params["units"], 10),
    )


task = et.SupervisedTask(
    network,
    loss="cross_entropy",
    optimizer="sgd",
    train=(x, y),
    validation=(x_validation, y_validation),
    epochs=5,
)
space = et.Space(
    lr=et.Float(1e-3, 1.0, log=True),  # genes named like an argument of the optimizer go there
    momentum=et.Float(0.0, 0.99),
    batch_size=et.Ordinal(16, 32, 64, 128),
    units=et.Int(8, 128, log=True),  # the others are for the network
    dropout=et.Float(0.0, 0.7),
)
algorithm = et.Genetic(space, population_size=8)
study = et.Study(algorithm, "max accuracy", storage="sqlite:///digits.db", name="mlp", seed=1)
study.run(task, trials=16, workers=2)

print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best.params}")
print(f"look at {study.report('digits.html')}")
