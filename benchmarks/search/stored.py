"""Where the data of the benchmarks lie.

In the directory named by the environment variable EVOTUNE_DATA, else in ``../shared/data`` beside
the checkout.
"""

import os
from pathlib import Path

VARIABLE = "EVOTUNE_DATA"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def stored(name: str) -> Path:
    """Return the path of a file or folder of the data.

    Args:
        name: Its path below the data directory, such as ``yahpo_data/lcbench``.

    Raises:
        FileNotFoundError: It is not there.
    """
    path = Path(os.environ.get(VARIABLE) or BESIDE) / name
    if not path.exists():
        raise FileNotFoundError(
            f"the benchmark needs {path}; set {VARIABLE} to the directory that has {name}"
        )
    return path
