"""The commands with their arguments and help; the other modules implement them.

Each command imports its module only when called, so that ``evotune --help`` is fast.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from evotune import __version__
from evotune.errors import EvotuneError
from evotune.printing import printable

#: Environment variable with the storage that commands read where none is given.
STORAGE_VARIABLE = "EVOTUNE_STORAGE"

app = typer.Typer(
    help="Evolve deep-learning models. Start with: evotune demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="Describes the study.")]
_SOURCE_HELP = "A FILE.toml, an SQLite file or a database URL; by default $EVOTUNE_STORAGE."


def _names_in(source: str | None, incomplete: str) -> list[str]:
    """Return names of studies for the shell to offer; it offers files itself where there is none.

    Args:
        source: What was typed as the storage; None for the usual one.
        incomplete: The beginning of the name.
    """
    from evotune.cli.source import names_of

    found = names_of(source or os.environ.get(STORAGE_VARIABLE))
    return [name for name in found if name.startswith(incomplete)]


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names_in(ctx.params.get("source"), incomplete)


def _names_of_usual(incomplete: str) -> list[str]:
    """Offer the studies of the usual storage, which need not be named; see `_study`."""
    return _names_in(None, incomplete)


def _names_before_number(ctx: typer.Context, incomplete: str) -> list[str]:
    typed = ctx.params.get("place") or ()
    return _names_in(typed[0] if typed else None, incomplete) if len(typed) < 2 else []


def _algorithms(incomplete: str) -> list[str]:
    """Offer algorithms for the last name of a list with commas."""
    from evotune.names import SEARCHES

    before, comma, last = incomplete.rpartition(",")
    fitting = [name for name in SEARCHES if name.lower().startswith(last.lower())]
    return [f"{before}{comma}{name}" for name in fitting]


Place = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help=_SOURCE_HELP, show_default=False)
]
Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[SOURCE]",
        help=_SOURCE_HELP,
        show_default=False,
        autocompletion=_names_of_usual,
    ),
]
Name = Annotated[
    str | None,
    typer.Argument(
        help="The study, if SOURCE has several.", show_default=False, autocompletion=_names
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with all digits.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of all random streams.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evotune {__version__}")
        raise typer.Exit


@app.callback()
def evotune(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also say what usually goes without saying.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Handle the options before a command."""
    if verbose or quiet:
        log = logging.getLogger("evotune")
        log.setLevel(logging.ERROR if quiet else logging.INFO)
        if verbose:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            log.addHandler(handler)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Folder for results.")] = Path("evotune-demo"),
    trials: Annotated[int, typer.Option(min=1, help="Trials of each search.")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each trial.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random streams.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier demo.")] = False,
) -> None:
    """Tune a small network on handwritten digits: genetic algorithm against random search."""
    from evotune.cli.demo import demo

    code = demo(folder, trials=trials, epochs=epochs, workers=workers, seed=seed, fresh=fresh)
    raise typer.Exit(code)


@app.command()
def run(  # noqa: PLR0913  (each option stands alone)
    file: File,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of the whole study.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Total epochs of a member, or of each trial.")
    ] = None,
    workers: Workers = None,
    seed: Seed = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            help="Zero-cost scores that may choose early trials: naswot,zico.", show_default=False
        ),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Replace another process that drives the study.")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try failed trials again; they no longer count."),
    ] = False,
) -> None:
    """Run the study of a TOML file; repeat the same command to resume it."""
    from evotune.cli.run import run as run_file

    limits = {"trials": trials, "epochs": epochs, "workers": workers, "seed": seed}
    given: dict[str, object] = {**limits, "proxies": proxies}
    overrides = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(run_file(file, overrides, take_over=take_over, retry_failed=retry_failed))


@app.command()
def compare(  # noqa: PLR0913  (each option stands alone)
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Several FILE.toml; or one and --algorithms; or a storage and names of methods.",
        ),
    ],
    algorithms: Annotated[
        str | None,
        typer.Option(
            help="Algorithms to run instead of the file's: Genetic,RandomSearch.",
            show_default=False,
            autocompletion=_algorithms,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs per method, with seeds 0, 1, ...; default: enough for significance.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of each run.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, as for run.")] = None,
    workers: Workers = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML page to write.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare methods on one task with the same seeds: ranks, significance tests, curves.

    The runs are stored as studies in the database of their file, and go on:
    with more --seeds or --trials, only what is missing is run.
    """
    from evotune.cli.compare import compare_sources

    given = {"trials": trials, "epochs": epochs, "workers": workers}
    overrides = {name: value for name, value in given.items() if value is not None}
    code = compare_sources(
        sources, overrides, algorithms=algorithms, seeds=seeds, output=output, as_json=as_json
    )
    raise typer.Exit(code)


@app.command()
def prune(  # noqa: PLR0913  (each option stands alone)
    factory: Annotated[
        str,
        typer.Argument(
            metavar="PYFILE:FACTORY", help="Class or function that makes the network: net.py:Net."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE.npz|PYFILE:FUNCTION",
            help="Examples: a file with x, and y for labels; or a function that returns x or x, y.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for what comes of it.")],
    weights: Annotated[
        str | None,
        typer.Option(help="Trained weights: .safetensors or .pt.", show_default=False),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            help="Share of the weights that go; by default 0.98, or what the structure says.",
            show_default=False,
        ),
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(help="2:4, channels, ...; by default single weights.", show_default=False),
    ] = None,
    method: Annotated[str, typer.Option(help="How they are chosen; see docs/pruning.md.")] = "auto",
    compensation: Annotated[
        str,
        typer.Option(help="After a published method: refit, energy, variance, bias or none."),
    ] = "refit",
    refine: Annotated[
        int, typer.Option(min=0, help="Steps of evolution; 300 are a good number.")
    ] = 0,
    fine_tune: Annotated[
        int, typer.Option(min=0, help="Epochs of training afterwards; they need labels.")
    ] = 0,
    loss: Annotated[
        str | None,
        typer.Option(help="Of labels: cross_entropy, mse, ...; by default the usual one."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=2, help="Most examples that are looked at.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which refinement ends.")
    ] = None,
) -> None:
    """Remove most weights of a trained network; repeat the same command to go on after a kill."""
    from evotune.cli.prune import prune

    options = {"sparsity": sparsity, "method": method, "refine": refine, "fine_tune": fine_tune}
    options |= {"structure": structure, "loss": loss, "examples": examples}
    options |= {"compensation": compensation}
    options |= {"seed": seed, "budget": budget}
    raise typer.Exit(prune(factory, output, data, weights, options))


def _study(source: str | None, name: str | None) -> tuple[str, str | None]:
    """Return storage and name; with ``EVOTUNE_STORAGE``, a single argument may be the name."""
    usual = os.environ.get(STORAGE_VARIABLE)
    if source and usual and name is None and not _is_place(source):
        return usual, source
    return _place(source), name


def _place(source: str | None) -> str:
    found = source or os.environ.get(STORAGE_VARIABLE)
    if not found:
        raise typer.BadParameter(
            f"which storage? Write evotune list runs.db, or set {STORAGE_VARIABLE}=runs.db",
            param_hint="SOURCE",
        )
    return found


def _is_place(source: str) -> bool:
    return "://" in source or source.endswith((".toml", ".db")) or Path(source).exists()


@app.command("list")
def list_studies(source: Place = None, as_json: AsJson = False) -> None:
    """List the studies in a storage."""
    from evotune.cli.show import list_studies

    list_studies(_place(source), as_json=as_json)


@app.command()
def show(source: Source = None, name: Name = None, as_json: AsJson = False) -> None:
    """Show a study: its space, its progress and its best trial."""
    from evotune.cli.show import show

    show(*_study(source, name), as_json=as_json)


@app.command()
def best(source: Source = None, name: Name = None, as_json: AsJson = False) -> None:
    """Show the best params and their metrics."""
    from evotune.cli.results import best

    best(*_study(source, name), as_json=as_json)


@app.command()
def trials(
    source: Source = None,
    name: Name = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, with all columns.")] = False,
    as_json: AsJson = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only failed ones, and why.")] = False,
) -> None:
    """Show all trials."""
    from evotune.cli.results import trials

    trials(*_study(source, name), as_csv=as_csv, as_json=as_json, failed=failed)


@app.command()
def trial(
    place: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE] [NAME] NUMBER",
            help="As for show, and the trial.",
            autocompletion=_names_before_number,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show one trial: params, metrics, notes, curve, parents, and why it failed."""
    from evotune.cli.trial import trial

    *before, number = place
    if len(before) > 2 or not number.isdecimal():
        raise typer.BadParameter(f"write SOURCE NAME NUMBER, such as runs.db net 12; got {place}")
    source, name = _study(*before, *[None] * (2 - len(before)))
    trial(source, name, int(number), as_json=as_json)


Output = Annotated[Path | None, typer.Option("-o", "--output", show_default=False)]


@app.command()
def report(
    source: Source = None,
    name: Name = None,
    output: Output = None,
    plotly: Annotated[
        str,
        typer.Option(
            metavar="inline|cdn|FILE.js",
            help="plotly.js: in the page (5 MB), from the internet, or a file that pages share.",
        ),
    ] = "inline",
    pages: Annotated[
        bool,
        typer.Option("--pages", help="A page for each trial too, in a folder beside the report."),
    ] = False,
) -> None:
    """Write one self-contained HTML page about a study, or a picture: -o study.svg."""
    from evotune.cli.write import report

    report(*_study(source, name), output, plotly=plotly, pages=pages)


@app.command()
def schedule(
    source: Source = None,
    name: Name = None,
    output: Output = None,
    trial: Annotated[
        int | None,
        typer.Option(min=0, help="The trial; by default the best of those trained longest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the hyperparameters per epoch of the best network; -o schedule.json or .html."""
    from evotune.cli.schedule import schedule

    schedule(*_study(source, name), output, trial, as_json=as_json)


@app.command()
def export(source: Source = None, name: Name = None, output: Output = None) -> None:
    """Write a whole study as JSON, or with -o trials.csv or .parquet a table of its trials."""
    from evotune.cli.write import export

    export(*_study(source, name), output)


storage = typer.Typer(help="Look for damage in a storage, and repair it.", no_args_is_help=True)
app.add_typer(storage, name="storage")


@storage.command()
def check(source: Place = None, as_json: AsJson = False) -> None:
    """Find every damaged row of every study; nothing is changed. Exit code 1 where there is one."""
    from evotune.cli.storage import check

    raise typer.Exit(check(_place(source), as_json=as_json))


@storage.command()
def repair(
    source: Source = None,
    name: Name = None,
    aside: Annotated[
        Path | None,
        typer.Option(help="Where damaged rows go; beside the database by default."),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also where it cannot be seen who drives a study.")
    ] = False,
) -> None:
    """Set damaged trials aside in a file; failed ones take their place, and the study goes on.

    Exit code 1 where something is still damaged.
    """
    from evotune.cli.storage import repair

    raise typer.Exit(repair(*_study(source, name), aside=aside, take_over=take_over))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    Exit codes: 0 done, 1 an evotune error, 2 invalid arguments, 130 interrupted.

    Args:
        arguments: Arguments without the program's name; by default those of this process.
    """
    try:
        app(arguments, prog_name="evotune")
    except EvotuneError as error:
        typer.echo(f"{typer.style('error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(1)
    except Exception:  # an error of the user's code or of ours: texts in it may come from anywhere
        typer.echo(printable(traceback.format_exc()), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
