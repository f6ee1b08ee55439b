"""Tests of the count of lines, and that the programs of evotune which it counts work."""

import importlib.util
import sys
from pathlib import Path

import pytest

_PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "lines" / "count.py"
_spec = importlib.util.spec_from_file_location("lines_count", _PATH)
lines = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lines)

TEXT = '''"""A docstring
of two lines."""

import os
from pathlib import (
    Path,
)


# a comment
def f(x):
    """A docstring."""
    text = """not a docstring"""
    return max(
        x,  # a comment
        1,
    )
'''


def test_statements_are_counted_without_docstrings_and_comments_and_imports_apart():
    assert lines.count(TEXT) == lines.Lines(logical=3, physical=6, imports=2)


def test_a_library_that_cannot_do_a_job_is_said_to():
    assert "cannot" in lines.table("lines", lambda found: str(found.logical))


@pytest.mark.parametrize("job", ["svc", "command"])  # each starts a process; `--run` runs all
def test_a_program_of_evotune_prints_its_best(job, tmp_path):
    last = lines.run(lines.program(job, "evotune"), sys.executable, 2, str(tmp_path))
    assert last.startswith("{"), last
