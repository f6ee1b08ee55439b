"""A search that goes on after a kill, by ray."""

from pathlib import Path

from jobs import TRIALS, svc_accuracy
from ray import tune


def objective(config):
    return {"accuracy": svc_accuracy(config)}


path = str(Path("runs").absolute())
if tune.Tuner.can_restore(path):
    tuner = tune.Tuner.restore(path, objective, resume_unfinished=True, restart_errored=True)
else:
    space = {"C": tune.loguniform(0.01, 100), "gamma": tune.loguniform(1e-6, 1)}
    tuner = tune.Tuner(
        objective,
        param_space=space,
        tune_config=tune.TuneConfig(metric="accuracy", mode="max", num_samples=TRIALS),
        run_config=tune.RunConfig(name="runs", storage_path=str(Path.cwd())),
    )
best = tuner.fit().get_best_result()
print(best.config, best.metrics["accuracy"])
