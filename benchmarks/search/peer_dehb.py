"""DEHB (Awad, Mallik, Hutter, 2021): differential evolution with Hyperband."""

import tempfile

from dehb import DEHB
from loguru import logger
from peer_spaces import configspace, plain
from recorder import Recorder

logger.disable("dehb")


def dehb(recorder: Recorder, seed: int) -> None:
    """Minimise by DEHB with the problem's fidelity; it pays for the share that it uses.

    LCBench: 1 to 52 epochs; xgboost: 3 to 100 % of the training data. Conditions are those of
    ConfigSpace.
    """
    name, low, full = recorder.problem.fidelity  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        searching = DEHB(
            cs=configspace(recorder.problem.space, seed),
            min_fidelity=low,
            max_fidelity=full,
            n_workers=1,
            seed=seed,
            output_path=folder,
            log_level="ERROR",
        )
        while not recorder.is_over:
            job = searching.ask()
            used = job["fidelity"]
            value = recorder(plain(job["config"]), **{name: used})
            searching.tell(job, {"fitness": value, "cost": used})
        del searching  # it writes into the folder when it goes
