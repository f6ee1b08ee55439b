import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    """Draw the same networks in each run of the tests."""
    torch.manual_seed(0)
