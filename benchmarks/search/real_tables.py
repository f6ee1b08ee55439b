"""Real trainings on tables: scikit-learn's models, one kind a space or several in one.

A value is the share of wrong labels, or the root mean squared error relative to the mean's.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from real_data import Data, tabular
from sklearn import ensemble, linear_model, neighbors, neural_network, svm
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

import evotune as et

Params = Mapping[str, Any]

SCALERS = {
    "none": lambda: "passthrough",
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "quantile": lambda: QuantileTransformer(n_quantiles=50),
}


@dataclass(frozen=True, slots=True)
class Table:
    """One training on a table.

    Args:
        data: Name of the set, see `real_data.tabular`.
        space: What is tuned.
        model: Makes the model of params: ``(params, seed, numeric)``.
    """

    data: str
    space: et.Space
    model: Callable[[Params, int, bool], Any]

    @property
    def smallest(self) -> float:
        """The least value that can be told from 0."""
        data = tabular(self.data)
        return 1e-3 if data.numeric else 0.5 / data.validated

    @property
    def worst(self) -> float:
        """The value of a training that fails."""
        return 2.0 if tabular(self.data).numeric else 1.0

    def train(self, params: Params, seed: int) -> tuple[float, float]:
        """Return the validation and the test value, each the mean over folds."""
        data, found = tabular(self.data), []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a training that does not converge is a result
            for train, validation in data.splits(seed):
                model = self.model(params, seed, data.numeric).fit(data.x[train], data.y[train])
                parts = (data.x[validation], data.y[validation]), (data.test_x, data.test_y)
                found.append([_error(model, data, *part) for part in parts])
        validation, test = np.mean(found, axis=0).tolist()
        return validation, test


def _error(model: Any, data: Data, x: Any, y: Any) -> float:
    predicted = model.predict(x)
    if data.numeric:
        return float(np.sqrt(np.mean((predicted - y) ** 2) / np.mean((data.y.mean() - y) ** 2)))
    return float(np.mean(predicted != y))


def svc(data: str) -> Table:
    """Return a support vector machine whose kernel brings genes of its own: 7 genes."""
    space = et.Space(
        scaler=et.Choice(*SCALERS),
        C=et.Float(1e-3, 1e3, log=True),
        kernel=et.Choice("linear", "rbf", "poly", "sigmoid"),
        gamma=et.Float(1e-5, 1e2, log=True, when={"kernel": ("rbf", "poly", "sigmoid")}),
        degree=et.Int(2, 5, when={"kernel": "poly"}),
        coef0=et.Float(-1.0, 1.0, when={"kernel": ("poly", "sigmoid")}),
        shrinking=et.Bool(),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        own = {name: value for name, value in params.items() if name != "scaler"}
        return make_pipeline(SCALERS[params["scaler"]](), svm.SVC(max_iter=5000, **own))

    return Table(data, space, model)


def mlp(data: str) -> Table:
    """Return scikit-learn's perceptron; momentum and its kind belong to SGD: 10 genes."""
    space = et.Space(
        solver=et.Choice("adam", "sgd"),
        learning_rate=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.99, when={"solver": "sgd"}),
        nesterov=et.Bool(when={"solver": "sgd"}),
        beta=et.Float(0.5, 0.99, when={"solver": "adam"}),
        alpha=et.Float(1e-6, 10.0, log=True),
        width=et.Int(4, 64, log=True),
        depth=et.Int(1, 3),
        activation=et.Choice("relu", "tanh", "logistic"),
        batch_size=et.Ordinal(16, 32, 64, 128),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        network = neural_network.MLPClassifier(
            hidden_layer_sizes=(params["width"],) * params["depth"],
            solver=params["solver"],
            learning_rate_init=params["learning_rate"],
            momentum=params.get("momentum", 0.9),
            nesterovs_momentum=params.get("nesterov", True),
            beta_1=params.get("beta", 0.9),
            alpha=params["alpha"],
            activation=params["activation"],
            batch_size=params["batch_size"],
            max_iter=10,
            random_state=seed,
        )
        return make_pipeline(StandardScaler(), network)

    return Table(data, space, model)


def forest(data: str) -> Table:
    """Return a forest, of random or extremely random trees: 8 genes."""
    space = et.Space(
        kind=et.Choice("RandomForest", "ExtraTrees"),
        n_estimators=et.Int(5, 60, log=True),
        max_depth=et.Int(2, 20),
        min_samples_leaf=et.Int(1, 30, log=True),
        max_features=et.Float(0.02, 1.0, log=True),
        criterion=et.Choice("gini", "entropy"),
        bootstrap=et.Bool(),
        max_samples=et.Float(0.1, 1.0, when={"bootstrap": True}),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        own = {name: value for name, value in params.items() if name != "kind"}
        return getattr(ensemble, f"{params['kind']}Classifier")(random_state=seed, **own)

    return Table(data, space, model)


def boosting(data: str) -> Table:
    """Return boosting by histograms: 7 genes, all always active."""
    space = et.Space(
        learning_rate=et.Float(1e-3, 1.0, log=True),
        max_iter=et.Int(5, 100, log=True),
        max_leaf_nodes=et.Int(2, 31, log=True),
        min_samples_leaf=et.Int(1, 60, log=True),
        l2_regularization=et.Float(1e-3, 1e3, log=True),
        max_features=et.Float(0.1, 1.0),
        max_bins=et.Int(4, 255, log=True),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        kind = "Regressor" if numeric else "Classifier"
        made = getattr(ensemble, f"HistGradientBoosting{kind}")
        return made(random_state=seed, early_stopping=False, **params)

    return Table(data, space, model)


def knn(data: str) -> Table:
    """Return nearest neighbours behind a reduction: 6 genes. Nothing here is random."""
    space = et.Space(
        n_neighbors=et.Int(1, 60, log=True),
        weights=et.Choice("uniform", "distance"),
        metric=et.Choice("minkowski", "cosine", "chebyshev"),
        p=et.Float(0.5, 4.0, log=True, when={"metric": "minkowski"}),
        components=et.Int(2, 100, log=True),
        whiten=et.Bool(),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        reduction = PCA(params["components"], whiten=params["whiten"], svd_solver="full")
        nearest = neighbors.KNeighborsClassifier(
            params["n_neighbors"],
            weights=params["weights"],
            metric=params["metric"],
            p=params.get("p", 2.0),
            algorithm="brute",
        )
        return make_pipeline(reduction, nearest)

    return Table(data, space, model)


def elastic_net(data: str) -> Table:
    """Return a linear regression behind one of three maps of features: 5 genes."""
    space = et.Space(
        alpha=et.Float(1e-4, 1e2, log=True),
        l1_ratio=et.Float(0.01, 1.0),
        features=et.Choice("plain", "products", "splines"),
        knots=et.Int(3, 12, when={"features": "splines"}),
        smoothness=et.Int(1, 3, when={"features": "splines"}),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        maps = {
            "plain": lambda: "passthrough",
            "products": lambda: PolynomialFeatures(include_bias=False),
            "splines": lambda: SplineTransformer(params["knots"], params["smoothness"]),
        }
        line = linear_model.ElasticNet(
            alpha=params["alpha"], l1_ratio=params["l1_ratio"], max_iter=500
        )
        return make_pipeline(StandardScaler(), maps[params["features"]](), StandardScaler(), line)

    return Table(data, space, model)


def logistic(data: str) -> Table:
    """Return a linear classifier trained by SGD: 7 genes."""
    space = et.Space(
        loss=et.Choice("log_loss", "hinge", "modified_huber"),
        alpha=et.Float(1e-6, 1.0, log=True),
        penalty=et.Choice("l2", "l1", "elasticnet"),
        l1_ratio=et.Float(0.0, 1.0, when={"penalty": "elasticnet"}),
        learning_rate=et.Choice("optimal", "constant", "invscaling"),
        eta0=et.Float(1e-4, 1.0, log=True, when={"learning_rate": ("constant", "invscaling")}),
        average=et.Bool(),
    )

    def model(params: Params, seed: int, numeric: bool) -> Any:
        line = linear_model.SGDClassifier(max_iter=20, tol=None, random_state=seed, **params)
        return make_pipeline(StandardScaler(), line)

    return Table(data, space, model)


def families(data: str) -> Table:
    """Return six families of models in one space, a branch for each: 12 genes."""
    space = et.Space(
        family=et.Choice("svm", "neighbours", "forest", "boosting", "linear", "network"),
        scaler=et.Choice(*SCALERS),
        C=et.Float(1e-2, 1e3, log=True, when={"family": "svm"}),
        gamma=et.Float(1e-5, 1e1, log=True, when={"family": "svm"}),
        n_neighbors=et.Int(1, 60, log=True, when={"family": "neighbours"}),
        max_features=et.Float(0.02, 1.0, log=True, when={"family": "forest"}),
        min_samples_leaf=et.Int(1, 30, log=True, when={"family": "forest"}),
        learning_rate=et.Float(1e-2, 1.0, log=True, when={"family": "boosting"}),
        max_leaf_nodes=et.Int(2, 31, log=True, when={"family": "boosting"}),
        alpha=et.Float(1e-6, 1e1, log=True, when={"family": "linear"}),
        lr=et.Float(1e-4, 1.0, log=True, when={"family": "network"}),
        width=et.Int(4, 64, log=True, when={"family": "network"}),
    )
    return Table(data, space, _of_family)


def _of_family(params: Params, seed: int, numeric: bool) -> Any:
    kind = "Regressor" if numeric else "Classifier"
    own = {n: v for n, v in params.items() if n not in ("family", "scaler")}
    make: dict[str, Callable[[], Any]] = {
        "svm": lambda: (svm.SVR if numeric else svm.SVC)(max_iter=5000, **own),
        "neighbours": lambda: getattr(neighbors, f"KNeighbors{kind}")(**own),
        "forest": lambda: getattr(ensemble, f"RandomForest{kind}")(25, random_state=seed, **own),
        "boosting": lambda: getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=12, early_stopping=False, random_state=seed, **own
        ),
        "linear": lambda: getattr(linear_model, f"SGD{kind}")(random_state=seed, **own),
        "network": lambda: getattr(neural_network, f"MLP{kind}")(
            hidden_layer_sizes=(own["width"],),
            learning_rate_init=own["lr"],
            max_iter=20,
            random_state=seed,
        ),
    }
    return make_pipeline(SCALERS[params["scaler"]](), make[params["family"]]())
