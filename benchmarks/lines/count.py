"""Logical lines of the smallest real jobs, by library.

python benchmarks/lines/count.py [--run] [--python PYTHON] [--trials 12] [--only LIBRARY]

A logical line is a statement, however many lines it is wrapped over; imports are counted apart;
docstrings, comments and blank lines are not counted. As a check, the second table counts the
physical lines that ruff's format gives these statements. With --run each program is run too, in a
new folder, and the last line that it prints is shown.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
JOBS = ("svc", "cnn", "resume", "front", "command")
LIBRARIES = ("evotune", "optuna", "ray", "sklearn")
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


class Lines(NamedTuple):
    """Number of logical lines, of physical lines of the same, and of imports (logical)."""

    logical: int
    physical: int
    imports: int


def count(text: str) -> Lines:
    """Count the lines of a program."""
    logical = physical = imports = 0
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _LAYOUT:
            continue
        if token.type != tokenize.NEWLINE:
            statement.append(token)
            continue
        if statement[0].string in ("import", "from"):
            imports += 1
        elif any(part.type != tokenize.STRING for part in statement):  # else a docstring
            logical += 1
            physical += statement[-1].end[0] - statement[0].start[0] + 1
        statement = []
    return Lines(logical, physical, imports)


def program(job: str, library: str) -> Path:
    """Return the path of a program, which need not exist: not every library can do every job."""
    return HERE / job / f"with_{library}.py"


def run(path: Path, python: str, trials: int, folder: str) -> str:
    """Run a program in a folder; return the last line that it prints."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "TRIALS": str(trials), "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [python, str(path)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"FAILED: {done.stderr.strip().splitlines()[-1:]}"
    return done.stdout.strip().splitlines()[-1]


def table(title: str, cell) -> str:
    """Return a table of jobs and libraries in Markdown."""
    rows = [f"| {title} | {' | '.join(LIBRARIES)} |", "|---" * (len(LIBRARIES) + 1) + "|"]
    for job in JOBS:
        cells = []
        for library in LIBRARIES:
            path = program(job, library)
            cells.append(cell(count(path.read_text("utf-8"))) if path.exists() else "cannot")
        rows.append(f"| {job} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the tables; run the programs if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="run each program too")
    parser.add_argument("--python", default=sys.executable, help="runs the programs")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--only", choices=LIBRARIES)
    options = parser.parse_args()
    print(table("logical lines (+ imports)", lambda lines: f"{lines.logical} (+{lines.imports})"))
    print()
    print(table("the same, wrapped at 100", lambda lines: str(lines.physical)))
    for job in JOBS if options.run else ():
        for library in [options.only] if options.only else LIBRARIES:
            path = program(job, library)
            if path.exists():
                with tempfile.TemporaryDirectory() as folder:
                    last = run(path, options.python, options.trials, folder)
                print(f"{job:8} {library:8} {last}", flush=True)


if __name__ == "__main__":
    main()
