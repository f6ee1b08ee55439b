"""Accuracy and size: the front, and a compromise, by evotune."""

from jobs import TRIALS, accuracy_and_nodes

import evotune as et


def train(trial):
    accuracy, nodes = accuracy_and_nodes(trial.params)
    return {"accuracy": accuracy, "nodes": nodes}


space = et.Space(n_estimators=et.Int(1, 40, log=True), max_depth=et.Int(1, 15))
study = et.tune(train, space, ["max accuracy", "min nodes"], trials=TRIALS)
print([trial.metrics for trial in study.front])
print(study.knee.params, study.knee.metrics["accuracy"])
