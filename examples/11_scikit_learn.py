"""A search in the place of scikit-learn's RandomizedSearchCV; bad candidates get one fold only."""

from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import evotune as et

images, labels = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(images[:800], labels[:800], random_state=0)

space = {
    "svc__C": loguniform(1e-2, 1e3),  # distributions of scipy and lists, as scikit-learn has them
    "svc__kernel": ["rbf", "poly"],
    "svc__gamma": et.Float(1e-5, 1e-1, log=True),  # or genes, which may have conditions
    "svc__degree": et.Int(2, 5, when={"svc__kernel": "poly"}),
}
search = et.EvolutionSearchCV(
    make_pipeline(StandardScaler(), SVC()), space, n_iter=20, early_stopping=True, random_state=0
)
search.fit(x, y)
print(f"accuracy {search.score(x_test, y_test):.3f} with {search.best_params_}")
