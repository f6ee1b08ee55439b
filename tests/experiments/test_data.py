"""Tests of the data loaders: the real files where there are any, made ones for the errors."""

import gzip
from pathlib import Path
from urllib.error import URLError

import data
import numpy as np
import pytest

MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def _write_idx(folder: Path, counts: tuple[int, int] = (3, 2)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, dimensions in data.FILES.items():
        shape = (counts[file.startswith("t10k")], 28, 28)[:dimensions]
        header = np.array([0x800 + dimensions, *shape], ">i4").tobytes()
        body = (np.arange(np.prod(shape)) % 256).astype(np.uint8).tobytes()
        (folder / file).write_bytes(gzip.compress(header + body))
    return folder


@pytest.fixture
def no_data_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(data.VARIABLE, raising=False)
    monkeypatch.setattr(data, "BESIDE", tmp_path / "nothing")


def _real(load: object) -> data.Images:
    try:
        return load()  # type: ignore[operator, no-any-return]
    except FileNotFoundError as error:
        pytest.skip(f"the data set is not on this machine: {error}")


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)


def test_fashion_mnist_is_the_published_one() -> None:
    x, y, test_x, test_y = _real(data.fashion_mnist)
    assert (x.shape, test_x.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert x.dtype == y.dtype == np.uint8
    assert y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert np.bincount(y).tolist() == [6000] * 10
    assert np.bincount(test_y).tolist() == [1000] * 10


def test_mnist_is_the_published_one() -> None:
    x, y, test_x, test_y = _real(data.mnist)
    assert (x.shape, test_x.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y).tolist() == MNIST_COUNTS
    assert test_y[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("inner", ["", "mnist"])
def test_reads_a_directory_or_the_folder_of_that_name_in_it(tmp_path: Path, inner: str) -> None:
    _write_idx(tmp_path / inner)
    x, y, test_x, test_y = data.mnist(tmp_path)
    assert [part.shape for part in (x, y, test_x, test_y)] == [(3, 28, 28), (3,), (2, 28, 28), (2,)]
    assert x[0, 0, :3].tolist() == [0, 1, 2]
    assert y.tolist() == [0, 1, 2]


def test_the_argument_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(data.VARIABLE, str(_write_idx(tmp_path / "environment", (5, 2))))
    assert len(data.mnist()[1]) == 5
    assert len(data.mnist(_write_idx(tmp_path / "argument", (4, 2)))[1]) == 4


def test_a_directory_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz.*EVOTUNE_DATA"):
        data.fashion_mnist(tmp_path)


@pytest.mark.usefixtures("no_data_elsewhere")
def test_without_files_and_network_the_error_says_what_to_write() -> None:
    with pytest.raises(FileNotFoundError, match=r"no network in tests.*--data DIRECTORY"):
        data.fashion_mnist()


@pytest.mark.usefixtures("no_data_elsewhere")
def test_openml_gives_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        data = np.arange(5 * 784).reshape(5, 784) % 256
        target = np.array(list("90312"), dtype=object)

    monkeypatch.setattr(data, "TRAINING_IMAGES", 3)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: Found)
    x, y, test_x, test_y = data.fashion_mnist()
    assert (x.shape, test_x.shape, x.dtype) == ((3, 28, 28), (2, 28, 28), np.uint8)
    assert (y.tolist(), test_y.tolist()) == ([9, 0, 3], [1, 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"<html>not found</html>",
        lambda raw: gzip.compress(gzip.decompress(raw)[:-1]),
        lambda raw: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(raw)[4:]),
    ],
    ids=["cut short", "a web page", "too few pixels", "floats"],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: object) -> None:
    file = _write_idx(tmp_path) / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is no idx file, or damaged"):
        data.mnist(tmp_path)


def test_parts_are_disjoint_random_and_repeatable() -> None:
    a, b = data.shuffled(100, 1, (60, 30))
    assert (len(a), len(b), len({*a, *b})) == (60, 30, 90)
    assert sorted(a) != list(a)
    assert np.array_equal(data.shuffled(100, 1, (60, 30))[0], a)
    assert not np.array_equal(data.shuffled(100, 2, (60, 30))[0], a)


def test_parts_larger_than_the_whole_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[60, 50\].*100"):
        data.shuffled(100, 1, (60, 50))
