"""Accuracy and size: the front, and a compromise, by ray."""

from jobs import TRIALS, accuracy_and_nodes
from ray import tune


def objective(config):
    accuracy, nodes = accuracy_and_nodes(config)
    return {"accuracy": accuracy, "nodes": nodes}


space = {"n_estimators": tune.lograndint(1, 41), "max_depth": tune.randint(1, 16)}
tune_config = tune.TuneConfig(num_samples=TRIALS)
results = tune.Tuner(objective, param_space=space, tune_config=tune_config).fit()
table = results.get_dataframe().sort_values(["nodes", "accuracy"], ascending=[True, False])
front = table[table.accuracy > table.accuracy.cummax().shift(fill_value=-1)]
print(front[["accuracy", "nodes"]])
chosen = front[front.accuracy >= front.accuracy.max() - 0.02].iloc[0]
print(chosen.filter(like="config/").to_dict(), chosen.accuracy)
