"""Accuracy and size: the front, and a compromise, by sklearn."""

import pandas as pd
from jobs import TRIALS, nodes, x, y
from scipy.stats import randint
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV


def scores(forest, x, y):
    return {"accuracy": forest.score(x, y), "nodes": nodes(forest)}


space = {"n_estimators": randint(1, 41), "max_depth": randint(1, 16)}
forest = RandomForestClassifier(random_state=0)
search = RandomizedSearchCV(forest, space, n_iter=TRIALS, scoring=scores, refit=False, cv=3)
table = pd.DataFrame(search.fit(x, y).cv_results_)
table = table.sort_values(["mean_test_nodes", "mean_test_accuracy"], ascending=[True, False])
accuracy = table.mean_test_accuracy
front = table[accuracy > accuracy.cummax().shift(fill_value=-1)]
print(front[["mean_test_accuracy", "mean_test_nodes"]])
chosen = front[front.mean_test_accuracy >= accuracy.max() - 0.02].iloc[0]
print(chosen.params, chosen.mean_test_accuracy)
