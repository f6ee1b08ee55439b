"""What tests of algorithms share."""

import pytest

from evotune.surrogates import candidates, gaussian_process, model


@pytest.fixture
def quick(monkeypatch):
    """Less work for a proposal of a surrogate, where its quality does not matter."""
    monkeypatch.setattr(candidates, "FIRST", 48)
    monkeypatch.setattr(candidates, "LATER", 1)
    monkeypatch.setattr(candidates, "CANDIDATES", 24)
    monkeypatch.setattr(gaussian_process, "STEPS", 2)
    monkeypatch.setattr(model, "GROWTH", 4)
