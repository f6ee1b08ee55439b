import subprocess
import sys

import pytest

import evotune as et

HEAVY = ("torch", "plotly", "pandas", "sklearn", "scipy", "numpy", "sqlalchemy", "loky")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom evotune.cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit: sys.exit(str([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.stderr.strip() == "[]"


def test_the_package_runs_as_a_module():
    process = subprocess.run(
        [sys.executable, "-m", "evotune", "--version"], capture_output=True, text=True, check=False
    )
    assert et.__version__ in process.stdout


def test_help_names_every_command(evotune):
    code, out, _ = evotune("--help")
    assert code == 0
    for command in (
        "demo",
        "run",
        "list",
        "show",
        "best",
        "trials",
        "report",
        "schedule",
        "export",
    ):
        assert command in out


def test_version(evotune):
    assert evotune("--version") == (0, f"evotune {et.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["rnu", "study.toml"],
        ["run"],
        ["run", "study.toml", "--trials", "-5"],
        ["run", "study.toml", "--workers", "0"],
        ["best", "runs.db", "--jsno"],
    ],
)
def test_a_wrong_call_is_exit_code_2(evotune, arguments):
    code, out, err = evotune(*arguments)
    assert code == 2
    assert "Error" in err
    assert out == ""


def test_an_error_of_ours_is_one_line_and_exit_code_1(evotune):
    code, out, err = evotune("run", "nowhere.toml")
    assert (code, out) == (1, "")
    assert err == "error: nowhere.toml cannot be read: No such file or directory\n"
