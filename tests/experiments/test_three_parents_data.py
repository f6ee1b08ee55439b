"""Tests of the loaders of CIFAR-10 and of the translation data: made files, and the real ones."""

import io
from pathlib import Path

import data
import numpy as np
import pytest


@pytest.fixture
def no_data_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(data.VARIABLE, raising=False)
    monkeypatch.setattr(data, "BESIDE", tmp_path / "nothing")


def _write_cifar10(folder: Path, colours: list[int]) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    folder.mkdir(parents=True, exist_ok=True)
    for file in data.CIFAR10_FILES:
        parts = []
        for colour in colours:
            stream = io.BytesIO()
            image.new("RGB", (32, 32), (colour,) * 3).save(stream, "JPEG")
            parts.append(np.frombuffer(stream.getvalue(), np.uint8))
        offsets = np.cumsum([0, *map(len, parts)])
        labels = np.arange(len(colours), dtype=np.uint8)
        np.savez(folder / file, jpeg=np.concatenate(parts), offsets=offsets, labels=labels)


@pytest.mark.parametrize("inside", ["cifar10", "."])
def test_cifar10_is_decoded_once_and_kept(tmp_path: Path, inside: str) -> None:
    _write_cifar10(tmp_path / inside, [10, 100, 200])
    cache = tmp_path / "cache"
    x, y, test_x, test_y = data.cifar10(tmp_path, cache)
    assert x.shape == test_x.shape == (3, 32, 32, 3)
    assert x.dtype == np.uint8
    assert np.allclose(x[:, 16, 16, 0], [10, 100, 200], atol=2)
    assert y.tolist() == test_y.tolist() == [0, 1, 2]
    assert sorted(path.name for path in cache.iterdir()) == [
        "cifar10_test.npy",
        "cifar10_train.npy",
    ]
    np.save(cache / "cifar10_train.npy", np.zeros((3, 32, 32, 3), np.uint8))
    assert not data.cifar10(tmp_path, cache)[0].any()


@pytest.mark.usefixtures("no_data_elsewhere")
@pytest.mark.parametrize("name", ["cifar10", "vietnamese_english"])
def test_missing_files_are_named(name: str, tmp_path: Path) -> None:
    first = {"cifar10": "cifar10_train.npz", "vietnamese_english": "tst2012.vi"}[name]
    with pytest.raises(FileNotFoundError, match=first) as caught:
        getattr(data, name)(tmp_path)
    assert data.VARIABLE in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nothing"):
        getattr(data, name)()


def test_sentences_keep_their_partners_and_empty_ones_go(tmp_path: Path) -> None:
    texts = ("a b\n\nc\n", "x\ny\nz z\n", "a\n", "x y\n", "<unk>\n<s>\n</s>\na\n", "<unk>\n<s>\n")
    for file, text in zip(data.TRANSLATION_FILES, texts, strict=True):
        (tmp_path / file).write_text(text, encoding="utf-8")
    found = data.vietnamese_english(tmp_path)
    assert found.train == ((("a", "b"), ("x",)), (("c",), ("z", "z")))
    assert found.test == ((("a",), ("x", "y")),)
    assert found.source_words == ("<unk>", "<s>", "</s>", "a")
    assert found.target_words == ("<unk>", "<s>")


def test_the_translation_data_are_those_that_the_paper_counts() -> None:
    try:
        found = data.vietnamese_english()
    except FileNotFoundError as error:
        pytest.skip(f"the data set is not on this machine: {error}")
    assert (len(found.train), len(found.test)) == (1_553, 1_268)
    assert (len(found.source_words), len(found.target_words)) == (7_709, 17_191)
    assert found.source_words[:3] == found.target_words[:3] == ("<unk>", "<s>", "</s>")


def test_cifar10_is_the_published_one() -> None:
    try:
        x, y, test_x, test_y = data.cifar10()
    except FileNotFoundError as error:
        pytest.skip(f"the data set is not on this machine: {error}")
    assert (x.shape, test_x.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert np.bincount(y).tolist() == [5_000] * 10
    assert np.bincount(test_y).tolist() == [1_000] * 10
    assert sorted(y[:10].tolist()) == list(range(10))  # every ten images have all classes
    assert x[:5_000].mean() / 255 == pytest.approx(0.473, abs=0.01)
