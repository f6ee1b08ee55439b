"""Pages of the documentation: their Python and their commands run as they stand.

Blocks marked ``python`` are run in order, in one namespace and one new folder; ``sh`` is run line
by line. What cannot run here (a second GPU, a server) is marked ``py`` or ``console``.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import helpers_warm

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/tutorials/[!i]*.md")),
    "docs/howto.md",
    "docs/moving.md",
]
#: What is shown does more than a test needs.
SMALLER = {"trials=40": "trials=3"}
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)


def run_commands(lines, *, has_run):
    """Run lines of a shell, the first command of ours as the installed program.

    Returns:
        Whether any so far was a command of ours.
    """
    for line in lines:
        name, *arguments = shlex.split(line)
        if has_run and name == "evotune":
            options = {"env": os.environ | {"PATH": TOOLS}, "modules": helpers_warm.COMMANDS}
            process = helpers_warm.run(*helpers_warm.EVOTUNE, *arguments, **options)
            assert process.returncode == 0, f"{line}\n{process.stdout}\n{process.stderr}"
        else:
            run_line(line)
        has_run |= name == "evotune"
    return has_run


def run_line(line):
    process = subprocess.run(
        line,
        shell=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "PATH": TOOLS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, f"{line}\n{process.stdout}\n{process.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if (ROOT / p).exists()])
def test_what_a_page_shows_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for example in ROOT.glob("examples/*"):
        if example.suffix in {".py", ".toml"}:
            text = example.read_text("utf-8").replace("trials = 24", "trials = 2")
            (tmp_path / example.name).write_text(text, "utf-8")
    names = {"__name__": "__main__"}
    text = (ROOT / page).read_text("utf-8")
    for shown, less in SMALLER.items():
        text = text.replace(shown, less)
    has_run = False
    for block in BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 1  # errors name the line of the page
        if block[1] == "sh":
            has_run = run_commands(block[2].strip().splitlines(), has_run=has_run)
        else:
            exec(compile("\n" * line + block[2], str(ROOT / page), "exec"), names)
