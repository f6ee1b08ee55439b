import os
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


def test_a_terminal_gets_a_live_view_and_a_log_the_output(spawn, study_file, tmp_path, monkeypatch):
    file = study_file(
        body='print("epoch 1"); time.sleep(0.15); return 1.0 / (trial.number != 1)',
        trials="12",
        workers="2",
    )
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    process = spawn("run", file, stdout=inside, stderr=inside, text=False)
    os.close(inside)
    seen = read_terminal(terminal)
    os.close(terminal)
    assert process.wait() == 0
    for text in ("/12 trials", "left", "generation 2", "running", "trial 1 failed", "best: trial"):
        assert text in seen
    assert "epoch 1" not in seen
    assert (tmp_path / "study.log").read_text().count("epoch 1") == 12
