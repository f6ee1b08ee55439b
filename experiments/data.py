"""Image data for the experiments, read where it lies; nothing is copied or kept.

Looked for in this order: the directory that is given; the directory named by the environment
variable EVOTUNE_DATA; ``../shared/data`` beside the checkout; OpenML, through scikit-learn, which
downloads once and keeps the data in its own cache.
"""

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


def fashion_mnist(directory: str | Path | None = None) -> Images:
    """Return FashionMNIST (Xiao et al., 2017): 60,000 training and 10,000 test images.

    Args:
        directory: Has the four ``.gz`` files, or a folder ``fashion_mnist`` that has them.

    Raises:
        FileNotFoundError: The files are not there, or nothing can be downloaded.
        ValueError: A file is damaged.
    """
    return _images("fashion_mnist", directory)


def mnist(directory: str | Path | None = None) -> Images:
    """Return MNIST (LeCun et al., 1998), in the form of `fashion_mnist`."""
    return _images("mnist", directory)


def _images(name: str, directory: str | Path | None) -> Images:
    chosen = directory or os.environ.get(VARIABLE) or (BESIDE if _found(name, BESIDE) else None)
    if chosen is None:
        return _openml(name)
    folder = _found(name, Path(chosen))
    if folder is None:
        raise FileNotFoundError(
            f"{name}: {chosen} needs the files {', '.join(FILES)}, itself or in a folder "
            f"{name}/; give their directory, set {VARIABLE} to it, or leave both out to download"
        )
    x, y, test_x, test_y = (_read(folder / file, n) for file, n in FILES.items())
    return x, y, test_x, test_y


def _found(name: str, directory: Path) -> Path | None:
    folders = (directory / name, directory)
    return next((f for f in folders if all((f / file).is_file() for file in FILES)), None)


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


def shuffled(count: int, seed: int, sizes: Sequence[int]) -> list[npt.NDArray[np.intp]]:
    """Return disjoint random parts of ``range(count)``, one of each size.

    Raises:
        ValueError: The parts together are more than there is.
    """
    if sum(sizes) > count:
        raise ValueError(f"parts of {list(sizes)} examples need more than the {count} there are")
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, np.cumsum(sizes))[:-1]
