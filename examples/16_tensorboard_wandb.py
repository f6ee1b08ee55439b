"""TensorBoard and Weights & Biases: curves and params of all trials, logged beside the search."""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import evotune as et

x, y = load_digits(return_X_y=True)


def train(trial):
    model = SGDClassifier(loss="log_loss", random_state=0, **trial.params)
    for _ in trial.epochs(default=5):
        model.partial_fit(x[:1200] / 16, y[:1200], classes=range(10))
        trial.report(accuracy=model.score(x[1200:] / 16, y[1200:]))
    return {"accuracy": model.score(x[1200:] / 16, y[1200:])}


space = et.Space(alpha=et.Float(1e-6, 1e-1, log=True), penalty=et.Choice("l1", "l2"))
trackers = [et.callbacks.TensorBoard("runs"), et.callbacks.WandB("digits", mode="offline")]
study = et.tune(train, space, "max accuracy", trials=8, callbacks=trackers, seed=1)
print(f"accuracy {study.best.metrics['accuracy']:.3f}; look: tensorboard --logdir runs")
