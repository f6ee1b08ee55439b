"""Evolve a schedule: a population trains at once, weights and hyperparameters are inherited."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x, x_validation, y, y_validation = train_test_split(images / 16, labels, random_state=0)


def network(params):
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


task = et.SupervisedTask(
    network,
    loss="cross_entropy",
    optimizer="sgd",
    train=(x, y),
    validation=(x_validation, y_validation),
)
space = et.Space(lr=et.Float(1e-3, 1.0, log=True), momentum=et.Float(0.0, 0.99))
algorithm = et.PopulationBasedTraining(space, population_size=16)
study = et.Study(algorithm, "max accuracy", seed=1)
study.run(task, epochs=12)  # all 16 members as one stacked model

print(f"accuracy {study.best.metrics['accuracy']:.3f}")
print(study.schedule())  # and study.schedule().save("schedule.json")
