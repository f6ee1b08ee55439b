"""MLflow: the study is a run, and each trial a run nested in it; look with `mlflow ui`."""

from mlflow import MlflowClient
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

import evotune as et

x, y = load_digits(return_X_y=True)


def train(trial):
    return {"accuracy": cross_val_score(SVC(**trial.params), x[:600], y[:600], cv=3).mean()}


space = et.Space(C=et.Float(1e-2, 1e2, log=True), gamma=et.Float(1e-5, 1e-1, log=True))
database = "sqlite:///mlflow.db"
tracker = et.callbacks.MLflow("digits", tracking_uri=database)
study = et.tune(train, space, "max accuracy", trials=10, callbacks=tracker, seed=1)

client = MlflowClient(database)
experiment = client.get_experiment_by_name("digits").experiment_id
[best, *_] = client.search_runs([experiment], order_by=["metrics.accuracy DESC"])
print(f"accuracy {best.data.metrics['accuracy']:.3f} in {best.info.run_name}, {best.data.params}")
