"""A search that goes on after a kill, by evotune."""

from jobs import TRIALS, svc_accuracy

import evotune as et


def train(trial):
    return svc_accuracy(trial.params)


space = et.Space(C=et.Float(0.01, 100, log=True), gamma=et.Float(1e-6, 1, log=True))
study = et.tune(train, space, "max accuracy", trials=TRIALS, storage="runs.db")
print(study.best.params, study.best.metrics["accuracy"])
