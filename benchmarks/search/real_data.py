"""The data of the real trainings: scikit-learn's own, and small parts of larger sets.

Images are averaged over squares of 2 × 2 pixels, so that a training takes a fraction of a second.
"""

import csv
import gzip
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from stored import stored

Array = npt.NDArray[np.float64]

#: How many examples are trained and validated on (all others are for the test), and the folds.
OWN = {"digits": (700, 3), "breast-cancer": (400, 3), "wine": (120, 5), "diabetes": (300, 5)}
#: Of images: trained on, validated on, tested on.
TRAIN, VALIDATION, TEST = 700, 500, 600


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Examples of one set.

    Attributes:
        x: Inputs to train and validate on, ``(examples, features)``.
        y: Their labels or numbers, ``(examples,)``.
        test_x: Inputs that no search sees.
        test_y: Their labels or numbers.
        folds: Folds of the cross-validation, or 1: the first examples train, the others validate.
        numeric: True where numbers are predicted, False for labels.
    """

    x: Array
    y: npt.NDArray[np.generic]
    test_x: Array
    test_y: npt.NDArray[np.generic]
    folds: int
    numeric: bool = False

    @property
    def validated(self) -> int:
        """How many predictions one value rests on."""
        return len(self.x) if self.folds > 1 else VALIDATION

    def splits(self, seed: int) -> list[tuple[Array, Array]]:
        """Return the indices to train and to validate on; folds are drawn from the seed."""
        if self.folds == 1:
            return [(np.arange(TRAIN), np.arange(TRAIN, len(self.x)))]
        kind = KFold if self.numeric else StratifiedKFold
        return list(kind(self.folds, shuffle=True, random_state=seed).split(self.x, self.y))


@cache
def tabular(name: str) -> Data:
    """Return a set by name: one of `OWN`, ``mnist`` or ``fashion``."""
    if name in OWN:
        return _own(name)
    folder = {"mnist": "mnist", "fashion": "fashion_mnist"}[name]
    x, y = _images(folder, "train", TRAIN + VALIDATION)
    test_x, test_y = _images(folder, "t10k", TEST)
    return Data(x, y, test_x, test_y, folds=1)


def _own(name: str) -> Data:
    load = getattr(datasets, f"load_{name.replace('-', '_')}")
    x, y = load(return_X_y=True)
    count, folds = OWN[name]
    numeric = name == "diabetes"
    y = (y - y.mean()) / y.std() if numeric else y
    x, test_x, y, test_y = train_test_split(
        x, y, train_size=count, random_state=0, stratify=None if numeric else y
    )
    return Data(x, y, test_x, test_y, folds, numeric)


def _images(folder: str, part: str, count: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return images as ``(count, 196)`` in [0, 1], and labels; the files are in LeCun's format."""
    pixels = _read(f"{folder}/{part}-images-idx3-ubyte.gz", 16, count * 784)
    labels = _read(f"{folder}/{part}-labels-idx1-ubyte.gz", 8, count)
    halved = pixels.reshape(count, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return halved.reshape(count, 196), labels.astype(np.int64)


def _read(name: str, header: int, count: int) -> npt.NDArray[np.uint8]:
    with gzip.open(stored(name)) as file:
        return np.frombuffer(file.read(header + count), np.uint8, offset=header)


@cache
def series() -> Array:
    """Return the hourly series of ETTh1, ``(hours, 7)``, each with mean 0 and deviation 1."""
    with stored("timeseries/ETTh1.csv").open(encoding="utf-8") as file:
        rows = [[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    values = np.array(rows)
    return (values - values.mean(0)) / values.std(0)


@cache
def text(name: str) -> npt.NDArray[np.int64]:
    """Return a text of the talks by its file's name, such as ``tst2012.en``, as bytes."""
    return np.frombuffer(stored(f"iwslt15_en_vi/{name}").read_bytes(), np.uint8).astype(np.int64)
