"""The study of the fault table, run in a process of its own and struck where its plan says.

The environment variable FAULT_PLAN names a JSON file: ``fault`` (a name in `strikes.STRIKES`, or
""), ``moment``, ``trial`` or ``transaction`` (where it strikes, once), ``storage``, ``workers`` and
``folder``. It prints "finished" once the study is complete.
"""

import logging
import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy as sa
import strikes

import evotune as et
from helpers_postgres import Proxy

EPOCHS = 6
NAME = "struck"


def train(trial):
    """Train weights that later trials inherit; one trial in nine fails as planned."""
    strikes.reach(trial, "start")
    weights = {"w": np.zeros(3)}
    trial.resume(weights=weights)
    for _ in trial.epochs():
        weights["w"] = 0.9 * weights["w"] + trial.params["x"]
    strikes.reach(trial, "middle")
    trial.report(step=strikes.odd(trial.number), half=strikes.odd(0.5))
    trial.keep(weights=weights)
    if trial.number % 9 == 4:
        raise strikes.planned_error()
    strikes.reach(trial, "end")
    return {"loss": strikes.odd(float(abs(weights["w"].sum() - trial.params["y"])))}


def study(storage, checkpoints=None):
    """Return the study, opened in a storage."""
    space = et.Space(x=et.Float(1e-3, 1.0, log=True), y=et.Int(1, 9))
    algorithm = et.PopulationBasedTraining(space, population_size=4)
    options = {"storage": storage, "checkpoints": checkpoints, "name": NAME, "seed": 3}
    return et.Study(algorithm, "min loss", **options)


def count_transactions() -> None:
    """Reach the plan's moment before or after a commit of the driver."""
    dialect = sa.engine.default.DefaultDialect
    commit, count = dialect.do_commit, iter(range(sys.maxsize))

    def do_commit(self, connection):
        number = next(count)
        strikes.reach(number, "before commit")
        commit(self, connection)
        strikes.reach(number, "after commit")

    dialect.do_commit = do_commit


def set_clock(seconds: float) -> None:
    """Do what setting the clock of the machine does to a process that starts afterwards."""
    now, boot = time.time, psutil._pslinux.boot_time
    time.time = lambda: now() + seconds
    psutil._pslinux.boot_time = lambda: boot() + seconds


def main() -> None:
    """Run the study to its end, or until it is struck."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    plan = strikes.plan()
    Path(plan["folder"], "driver.pid").write_text(str(os.getpid()))
    storage = plan["storage"]
    if "://" in storage:
        strikes.proxy = Proxy(sa.make_url(storage))
        storage = strikes.proxy.url.render_as_string(hide_password=False)
    set_clock(plan.get("clock", 0))
    count_transactions()
    with study(storage, plan.get("checkpoints")) as running:
        running.run(train, epochs=EPOCHS, workers=plan["workers"])
    if running.stop_reason != "interrupted":
        print("finished", flush=True)


if __name__ == "__main__":
    main()
