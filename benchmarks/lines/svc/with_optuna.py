"""An SVC tuned with cross-validation, by optuna (and the package optuna-integration)."""

from jobs import TRIALS, x, y
from optuna.distributions import FloatDistribution
from optuna_integration import OptunaSearchCV
from sklearn.svm import SVC

space = {"C": FloatDistribution(0.01, 100, log=True), "gamma": FloatDistribution(1e-6, 1, log=True)}
search = OptunaSearchCV(SVC(), space, n_trials=TRIALS, cv=3).fit(x, y)
print(search.best_params_, search.best_score_)
