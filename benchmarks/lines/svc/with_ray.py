"""An SVC tuned with cross-validation, by ray."""

from jobs import TRIALS, svc_accuracy
from ray import tune


def objective(config):
    return {"accuracy": svc_accuracy(config)}


space = {"C": tune.loguniform(0.01, 100), "gamma": tune.loguniform(1e-6, 1)}
tune_config = tune.TuneConfig(metric="accuracy", mode="max", num_samples=TRIALS)
best = tune.Tuner(objective, param_space=space, tune_config=tune_config).fit().get_best_result()
print(best.config, best.metrics["accuracy"])
