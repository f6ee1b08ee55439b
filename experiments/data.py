"""Data for the experiments, read where they lie.

Looked for in this order: the directory that is given; the directory named by the environment
variable EVOTUNE_DATA; ``../shared/data`` beside the checkout; for MNIST and FashionMNIST OpenML,
through scikit-learn, which downloads once and keeps the data in its own cache. Only CIFAR-10 is
kept by us, decoded, in experiments/runs/: its JPEG files take seconds to decode.
"""

import gzip
import io
import os
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.uint8]
#: Training images ``(examples, 28, 28)`` and labels ``(examples,)``, then the same for testing.
Images = tuple[Array, Array, Array, Array]

VARIABLE = "EVOTUNE_DATA"
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
#: File names and numbers of dimensions, as LeCun's MNIST page gave them.
FILES = {
    "train-images-idx3-ubyte.gz": 3,
    "train-labels-idx1-ubyte.gz": 1,
    "t10k-images-idx3-ubyte.gz": 3,
    "t10k-labels-idx1-ubyte.gz": 1,
}
#: Names on OpenML, where the 60,000 training images come first.
OPENML = {"fashion_mnist": "Fashion-MNIST", "mnist": "mnist_784"}
TRAINING_IMAGES = 60_000
CIFAR10_FILES = ("cifar10_train.npz", "cifar10_test.npz")
#: Sentences that Vose et al. train on, then those that they test on, then the words.
TRANSLATION_FILES = ("tst2012.vi", "tst2012.en", "tst2013.vi", "tst2013.en", "vocab.vi", "vocab.en")
CACHE = Path(__file__).with_name("runs")


def fashion_mnist(directory: str | Path | None = None) -> Images:
    """Return FashionMNIST (Xiao et al., 2017): 60,000 training and 10,000 test images.

    Args:
        directory: Has the four ``.gz`` files, or a folder ``fashion_mnist`` that has them.

    Raises:
        FileNotFoundError: The files are not there, or nothing can be downloaded.
        ValueError: A file is damaged.
    """
    return _images("fashion_mnist", directory)


def digits(seed: int, examples: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return scikit-learn's Digits in three parts: 60 % train, 20 % validate, 20 % test.

    Args:
        seed: Of the split, which keeps the shares of the classes.
        examples: How many in all, for quick tests; None for all 1,797.

    Returns:
        Three pairs of pixels ``(examples, 64)``, float32 in [0, 1], and classes ``(examples,)``.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    x, y = (bunch.data / 16).astype(np.float32)[:examples], bunch.target[:examples]
    x, x_rest, y, y_rest = train_test_split(x, y, test_size=0.4, stratify=y, random_state=seed)
    halves = train_test_split(x_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=seed)
    x_validation, x_test, y_validation, y_test = halves
    return [(x, y), (x_validation, y_validation), (x_test, y_test)]


def mnist(directory: str | Path | None = None) -> Images:
    """Return MNIST (LeCun et al., 1998), in the form of `fashion_mnist`."""
    return _images("mnist", directory)


def _images(name: str, directory: str | Path | None) -> Images:
    chosen = directory or os.environ.get(VARIABLE)
    if chosen is None and _found(name, FILES, BESIDE) is None:
        return _openml(name)
    folder = _folder(name, FILES, chosen, "leave both out to download")
    x, y, test_x, test_y = (_read(folder / file, n) for file, n in FILES.items())
    return x, y, test_x, test_y


def _folder(
    name: str, files: Collection[str], directory: str | Path | None, otherwise: str
) -> Path:
    chosen = Path(directory or os.environ.get(VARIABLE) or BESIDE)
    folder = _found(name, files, chosen)
    if folder is None:
        raise FileNotFoundError(
            f"{name}: {chosen} needs the files {', '.join(files)}, itself or in a folder "
            f"{name}/; give their directory, set {VARIABLE} to it, or {otherwise}"
        )
    return folder


def _found(name: str, files: Collection[str], directory: Path) -> Path | None:
    folders = (directory / name, directory)
    return next((f for f in folders if all((f / file).is_file() for file in files)), None)


def _read(path: Path, dimensions: int) -> Array:
    """Read one idx file: a magic number, the size of each dimension, then bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
        header = np.frombuffer(raw, ">i4", dimensions + 1)
        if header[0] != 0x800 + dimensions:  # 0x08 stands for unsigned bytes
            raise ValueError(f"it begins with {header[0]}, not {0x800 + dimensions}")
        return np.frombuffer(raw, np.uint8, offset=header.nbytes).reshape(header[1:])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is no idx file, or damaged: {error}; fetch it again") from error


def _openml(name: str) -> Images:
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(OPENML[name], version=1, as_frame=False)
    except OSError as error:  # what urllib raises without a network
        raise FileNotFoundError(
            f"{name} is neither in {BESIDE} nor to be had from OpenML ({error}); write "
            f"--data DIRECTORY, or set {VARIABLE}, with a directory that has the files "
            f"{', '.join(FILES)}"
        ) from error
    x = np.asarray(found.data, np.uint8).reshape(-1, 28, 28)
    y = np.asarray(found.target, np.uint8)
    return x[:TRAINING_IMAGES], y[:TRAINING_IMAGES], x[TRAINING_IMAGES:], y[TRAINING_IMAGES:]


# -- CIFAR-10 -------------------------------------------------------------------------------------


def cifar10(directory: str | Path | None = None, cache: Path = CACHE) -> Images:
    """Return CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images.

    The files hold each image as a JPEG of quality 75, so accuracies differ slightly from those on
    the original pixels. Every prefix of a multiple of ten images has all classes equally often.

    Args:
        directory: Has the two ``.npz`` files, or a folder ``cifar10`` that has them.
        cache: Folder where the decoded images ``(examples, 32, 32, 3)`` are kept; they are mapped
            into memory from there.

    Raises:
        FileNotFoundError: The files are not there, or Pillow, which decodes them, is missing.
    """
    folder = _folder("cifar10", CIFAR10_FILES, directory, f"put them into {BESIDE / 'cifar10'}")
    parts = []
    for file in CIFAR10_FILES:
        with np.load(folder / file) as stored:
            kept = cache / file.replace(".npz", ".npy")
            if not kept.exists():
                _keep(kept, _decoded(stored["jpeg"], stored["offsets"]))
            parts += [np.load(kept, mmap_mode="r"), stored["labels"]]
    x, y, test_x, test_y = parts
    return x, y, test_x, test_y


def _decoded(jpeg: Array, offsets: npt.NDArray[np.int64]) -> Array:
    try:
        from PIL import Image
    except ImportError as error:
        raise FileNotFoundError(
            "cifar10: the images are JPEG files, which need Pillow; write pip install pillow"
        ) from error
    raw = jpeg.tobytes()
    bounds = pairwise(offsets)
    return np.stack([np.asarray(Image.open(io.BytesIO(raw[a:b]))) for a, b in bounds])


def _keep(path: Path, images: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as stream:
        np.save(stream, images)
    part.replace(path)  # another process may be doing the same


# -- Vietnamese to English ------------------------------------------------------------------------

Pairs = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Translation:
    """Sentence pairs (Vietnamese, English), each a tuple of words, and both vocabularies.

    Attributes:
        train: The 1,553 pairs of tst2012.
        test: The 1,268 pairs of tst2013.
        source_words: The 7,709 Vietnamese words; the first three are <unk>, <s> and </s>.
        target_words: The 17,191 English words, beginning in the same way.
    """

    train: Pairs
    test: Pairs
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]


def vietnamese_english(directory: str | Path | None = None) -> Translation:
    """Return the part of IWSLT'15 Vietnamese-English of Vose et al., as Stanford prepared it.

    Args:
        directory: Has the six files, or a folder ``iwslt15_en_vi`` that has them.

    Raises:
        FileNotFoundError: The files are not there.
    """
    name = "iwslt15_en_vi"
    folder = _folder(name, TRANSLATION_FILES, directory, f"put them into {BESIDE / name}")
    lines = [(folder / file).read_text("utf-8").split("\n") for file in TRANSLATION_FILES]
    train_vi, train_en, test_vi, test_en, *words = lines
    source, target = (tuple(filter(None, each)) for each in words)
    return Translation(_pairs(train_vi, train_en), _pairs(test_vi, test_en), source, target)


def _pairs(source: Sequence[str], target: Sequence[str]) -> Pairs:
    both = zip(source, target, strict=True)
    return tuple((tuple(a.split()), tuple(b.split())) for a, b in both if a.strip() and b.strip())


# -- splitting ------------------------------------------------------------------------------------


def shuffled(count: int, seed: int, sizes: Sequence[int]) -> list[npt.NDArray[np.intp]]:
    """Return disjoint random parts of ``range(count)``, one of each size.

    Raises:
        ValueError: The parts together are more than there is.
    """
    if sum(sizes) > count:
        raise ValueError(f"parts of {list(sizes)} examples need more than the {count} there are")
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, np.cumsum(sizes))[:-1]


# -- pathology reports ----------------------------------------------------------------------------

PATHOLOGY_FILE = "p3b1_testfolds.npz"
PATHOLOGY_TASKS = 3


@dataclass(frozen=True, slots=True)
class Reports:
    """One task of CANDLE P3B1: concepts in pathology reports, and what is asked of them.

    Attributes:
        features: Bag of concepts, ``(reports, 400)``; those of the first task have length 1.
        classes: Classes ``(reports,)``.
        folds: Fold of every report, 0 to 9.
    """

    features: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    folds: npt.NDArray[np.uint8]


def pathology_reports(directory: str | Path | None = None) -> tuple[Reports, ...]:
    """Return the ten test parts of CANDLE P3B1: tumour site, laterality and grade.

    The training parts of the benchmark are not among them, so results differ from published ones.

    Args:
        directory: Has the file, or a folder ``candle_p3b1`` that has it.

    Raises:
        FileNotFoundError: The file is not there.
    """
    name = "candle_p3b1"
    folder = _folder(name, [PATHOLOGY_FILE], directory, f"put it into {BESIDE / name}")
    with np.load(folder / PATHOLOGY_FILE) as stored:
        return tuple(
            Reports(stored[f"x{task}"], stored[f"y{task}"], stored[f"fold{task}"])
            for task in range(PATHOLOGY_TASKS)
        )


# -- time series ----------------------------------------------------------------------------------

TRANSFORMER_FILE = "ETTh1.csv"


def transformer(directory: str | Path | None = None) -> npt.NDArray[np.float32]:
    """Return ETTh1 (Zhou et al., 2021): 17,420 hours of a transformer, ``(hours, 7)``.

    Six loads, then the oil temperature.

    Args:
        directory: Has the file, or a folder ``timeseries`` that has it.

    Raises:
        FileNotFoundError: The file is not there.
    """
    name = "timeseries"
    folder = _folder(name, [TRANSFORMER_FILE], directory, f"put it into {BESIDE / name}")
    read = pd.read_csv(folder / TRANSFORMER_FILE)
    return read.drop(columns="date").to_numpy(np.float32)
