import sys

import pytest

from evotune.cli.source import read_study

torch = pytest.importorskip("torch")
TINY = ("--trials", 3, "--epochs", 1, "--workers", 1, "--folder", "out")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def params(name):
    return [trial.params for trial in read_study("out/demo.db", name).trials]


def test_demo_compares_two_searches_and_goes_on(evotune, tmp_path):
    code, out, err = evotune("demo", *TINY)
    assert (code, err) == (0, "")
    for text in (
        "validation",
        "test",
        "out/report.html",
        "show out/demo.db genetic",
        "neither saw",
    ):
        assert text in out
    assert (tmp_path / "out" / "report.html").stat().st_size > 100_000
    first = params("genetic"), params("random")
    assert [len(found) for found in first] == [3, 3]

    code, again, _ = evotune("demo", *TINY)
    assert code == 0
    assert "3 trials, done before" in again
    assert again.partition("search ")[2] == out.partition("search ")[2]

    _, longer, _ = evotune("demo", *TINY, "--trials", 4)
    assert "4 trials, going on after 3" in longer
    assert params("genetic")[:3] == first[0]
    assert len(params("random")) == 4

    code, _, err = evotune("demo", *TINY, "--epochs", 2)
    assert code == 1
    assert "~ epochs" in err
    assert "--fresh" in err

    _, fresh, _ = evotune("demo", *TINY, "--fresh")
    assert "before" not in fresh
    assert (params("genetic"), params("random")) == first


def test_without_torch_it_says_what_to_install(evotune, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "evotune.cli.digits", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = evotune("demo", *TINY)
    assert code == 1
    assert 'pip install "evotune[torch]"' in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(evotune, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = evotune("demo", *TINY, "--folder", "file/out")
    assert code == 1
    assert "cannot make the folder file/out" in err
