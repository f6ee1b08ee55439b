"""A study that a fault strikes comes out as if nothing had happened.

Here one fault of each kind strikes once; `make faults` tries the whole table at many seeds.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_table import FAULTS, survive
from strikes import SETTINGS

#: Each is of the kind of one that strikes here: another signal, error code or copy of a process,
#: or what is tested within a process by tests/storage, tests/study and tests/execution too.
ONLY_IN_THE_TABLE = {
    "driver hung up",
    "driver terminated",
    "process crashed",
    "process aborted",
    "process ended with 1",
    "process paused",
    "fork that ends at once",
    *SETTINGS,
    "database replaced",
    "database cut short",
    "database renamed",
    "database reached by a link",
    "folder reached by a link",
    "relative path",
    "clock set forward",
}
HERE = [row for row in FAULTS if row.fault not in ONLY_IN_THE_TABLE]


@pytest.mark.parametrize("row", HERE, ids=lambda row: f"{row.fault} at {row.moments[0]}")
@pytest.mark.timeout(300)
def test_the_study_is_the_same_as_one_never_disturbed(row, tmp_path):
    if not row.usable:
        pytest.skip("EVOTUNE_POSTGRES_URL names no server")
    survive(row, 0, tmp_path / "study")
