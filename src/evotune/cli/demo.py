"""``evotune demo``: a genetic algorithm against random search, at equal budget."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

import evotune as et
from evotune.analysis.text import count, duration
from evotune.checks import user_path
from evotune.cli.console import make_console, print_next
from evotune.cli.run import INTERRUPTED, print_interrupted
from evotune.cli.tables import table
from evotune.cli.watch import run_watched
from evotune.errors import ConfigError, StorageError, StudyMismatchError
from evotune.protocols import Algorithm, Evaluate, Storage
from evotune.storage import open_storage
from evotune.study import lock


def demo(
    folder: Path, *, trials: int, epochs: int, workers: int, seed: int, fresh: bool = False
) -> int:
    """Run or resume both searches, and compare their results.

    Args:
        folder: Where the database and the report are written.
        trials: Trials of each search.
        epochs: Epochs of each trial.
        workers: Number of worker processes.
        seed: Seed of both searches.
        fresh: Delete an earlier demo in this folder first.

    Returns:
        The exit code.

    Raises:
        ConfigError: PyTorch is not installed.
        StudyMismatchError: The folder holds a demo with other settings.
    """
    folder = user_path(folder, StorageError)
    searches, task = _set_up(epochs)
    console = make_console()
    console.print(
        f"Tuning a small network on handwritten digits: {count(trials, 'trial')} of "
        f"{count(epochs, 'epoch')} for each search."
    )
    storage = _open(folder, forget=tuple(searches) if fresh else ())
    studies = {}
    for name, algorithm in searches.items():
        with _study(algorithm, storage, name, seed) as study:
            _announce(console, study, trials)
            run_watched(study, task, console, folder / "demo.log", trials=trials, workers=workers)
        if study.stop_reason == "interrupted":
            print_interrupted(console, study)
            return INTERRUPTED
        studies[name] = study
    storage.close()
    _print_result(console, studies, folder)
    return 0


def _set_up(epochs: int) -> tuple[dict[str, Algorithm], Evaluate]:
    try:
        from evotune.cli.digits import digits_space, digits_task
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the demo trains a PyTorch network, but {error.name} is not installed: "
            'pip install "evotune[torch]"'
        ) from error
    space = digits_space(epochs)
    searches: dict[str, Algorithm] = {
        "genetic": et.Genetic(space),
        "random": et.RandomSearch(space),
    }
    return searches, digits_task()


def _open(folder: Path, forget: tuple[str, ...]) -> Storage:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    storage = open_storage(folder / "demo.db")
    for name in forget:
        if storage.load(name) is not None:
            lock.acquire(storage, name)  # fails while another process drives the study
            storage.delete(name)
    return storage


def _study(algorithm: Algorithm, storage: Storage, name: str, seed: int) -> et.Study:
    try:
        return et.Study(algorithm, "max accuracy", storage=storage, name=name, seed=seed)
    except StudyMismatchError as error:
        raise StudyMismatchError(
            f"{error}\nFor the demo: repeat its earlier options to resume it, or write another "
            "--folder for a second demo, or --fresh to delete the earlier one"
        ) from error


def _announce(console: Console, study: et.Study, trials: int) -> None:
    ended = sum(trial.has_ended for trial in study.trials)
    state = "" if not ended else ", done before" if ended >= trials else f", going on after {ended}"
    console.print(f"{study.name}: {count(trials, 'trial')}{state}")


def _print_result(console: Console, studies: Mapping[str, et.Study], folder: Path) -> None:
    database, page = folder / "demo.db", folder / "report.html"
    report = studies["genetic"].report(page)
    console.print()
    console.print(_table(studies))
    console.print(f"\n{_verdict(studies)}")
    console.print(f"\nReport of the genetic search: {report}", soft_wrap=True)
    print_next(
        console,
        [
            ("show", str(database), "genetic"),
            ("best", str(database), "genetic", "--json"),
            ("report", str(database), "random", "-o", str(folder / "random.html")),
        ],
    )


def _table(studies: Mapping[str, et.Study]) -> Table:
    made = table("search", ">trials", ">validation", ">test", ">training time")
    for name, study in studies.items():
        best, ended = study.best.metrics, [t for t in study.trials if t.has_ended]
        seconds = sum(t.metrics.get("train_seconds", 0.0) for t in ended)
        scores = (f"{best['accuracy']:.1%}", f"{best['test_accuracy']:.1%}")
        made.add_row(name, str(len(ended)), *scores, duration(seconds))
    return made


def _verdict(studies: Mapping[str, et.Study]) -> str:
    genetic, random = (studies[name].best.metrics["accuracy"] for name in ("genetic", "random"))
    if genetic == random:
        text = "Both searches found equally good networks this time."
    elif genetic > random:
        text = "The genetic algorithm found the better network."
    else:
        text = "Random search found the better network this time."
    return (
        f"{text} Each chose its best network on the validation images; neither saw the test "
        "images. One run is no proof: another --seed (with another --folder) may end differently."
    )
