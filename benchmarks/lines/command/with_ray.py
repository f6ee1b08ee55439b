"""A program tuned by two workers, to CSV, by ray."""

import json
import subprocess

from jobs import PROGRAM, TRIALS
from ray import tune


def objective(config):
    return json.loads(subprocess.check_output([*PROGRAM, "--lr", str(config["lr"])]))


space = {"lr": tune.loguniform(1e-5, 1)}
tune_config = tune.TuneConfig(
    metric="accuracy", mode="max", num_samples=TRIALS, max_concurrent_trials=2
)
results = tune.Tuner(objective, param_space=space, tune_config=tune_config).fit()
results.get_dataframe().to_csv("trials.csv")
best = results.get_best_result()
print(best.config, best.metrics["accuracy"])
