"""Tune any function that returns a number: here a support vector machine on handwritten digits."""

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

import evotune as et

images, labels = load_digits(return_X_y=True)
images, labels = images[:600], labels[:600]

space = et.Space(
    C=et.Float(0.01, 100.0, log=True),
    gamma=et.Float(1e-5, 0.1, log=True),
    kernel=et.Choice("rbf", "poly"),
    degree=et.Int(2, 5, when={"kernel": "poly"}),
)


def train(trial):
    return cross_val_score(SVC(**trial.params), images, labels, cv=3).mean()


study = et.tune(train, space, "max accuracy", trials=25, seed=1)
print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best.params}")
