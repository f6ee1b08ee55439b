"""An SVC tuned with cross-validation, by sklearn."""

from jobs import TRIALS, x, y
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV
from sklearn.svm import SVC

space = {"C": loguniform(0.01, 100), "gamma": loguniform(1e-6, 1)}
search = RandomizedSearchCV(SVC(), space, n_iter=TRIALS, cv=3).fit(x, y)
print(search.best_params_, search.best_score_)
