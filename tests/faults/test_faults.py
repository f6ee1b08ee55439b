"""A study that a fault strikes comes out as if nothing had happened; `make faults` tries more."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_table import FAULTS, survive


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: f"{row.fault} at {row.moments[0]}")
@pytest.mark.timeout(300)
def test_the_study_is_the_same_as_one_never_disturbed(row, tmp_path):
    if not row.usable:
        pytest.skip("EVOTUNE_POSTGRES_URL names no server")
    survive(row, 0, tmp_path / "study")
