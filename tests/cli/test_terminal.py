import os
import re
import struct

import pytest

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


def read_terminal(terminal):
    """Read until every process has closed the other end."""
    seen = b""
    while True:
        try:
            seen += (piece := os.read(terminal, 65536))
        except OSError:  # how Linux says it
            return seen.decode()
        if not piece:
            return seen.decode()


def run_in_terminal(spawn, file, monkeypatch, columns=80):
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    process = spawn("run", file, terminal=inside)
    os.close(inside)
    seen = read_terminal(terminal)
    os.close(terminal)
    assert process.wait() == 0
    return seen


def test_a_population_is_shown_member_by_member(spawn, population_file, monkeypatch):
    body = (
        "trial.resume(); time.sleep(0.12)\n    ended = [*trial.epochs()][-1]\n"
        '    trial.keep(ended=ended); return {"accuracy": ended - trial.params["lr"]}'
    )
    seen = run_in_terminal(spawn, population_file(body=body), monkeypatch, columns=100)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)  # colours, and lines written over
    last = seen[seen.rindex("generation ") :]  # the live view's last picture, then the end
    rows = [line.split() for line in last.splitlines() if line[:6].strip().isdigit()]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert {row[2] for row in rows} == {"4-5"}
    for text in ("0-1", "2-3", "running", "fresh", "new", "child of", "left"):
        assert text in seen
    assert re.search("epoch [2-6]/6", seen)
    assert "generation 2" in last


def test_a_terminal_gets_a_live_view_and_a_log_the_output(spawn, study_file, tmp_path, monkeypatch):
    file = study_file(
        body='print("epoch 1"); time.sleep(0.15); return 1.0 / (trial.number != 1)',
        trials="12",
        workers="2",
    )
    seen = run_in_terminal(spawn, file, monkeypatch)
    for text in ("/12 trials", "left", "generation 2", "running", "trial 1 failed", "best: trial"):
        assert text in seen
    assert "epoch 1" not in seen
    assert (tmp_path / "study.log").read_text().count("epoch 1") == 12
