"""Accurate and small at once: a front instead of one best, and its knee."""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

import evotune as et

images, labels = load_digits(return_X_y=True)
images, labels = images[:600], labels[:600]

space = et.Space(
    n_estimators=et.Int(1, 40, log=True),
    max_depth=et.Int(1, 15),
    max_features=et.Float(0.05, 1.0, log=True),
)


def train(trial):
    forest = RandomForestClassifier(**trial.params, random_state=0)
    accuracy = cross_val_score(forest, images, labels, cv=3).mean()
    forest.fit(images, labels)
    return {"accuracy": accuracy, "nodes": sum(tree.tree_.node_count for tree in forest)}


study = et.tune(train, space, ["max accuracy", "min nodes"], trials=25, seed=1)
for trial in sorted(study.front, key=lambda trial: trial.metrics["nodes"]):
    mark = "  <- knee" if trial.number == study.knee.number else ""
    print(f"{trial.metrics['nodes']:6.0f} nodes, accuracy {trial.metrics['accuracy']:.3f}{mark}")
