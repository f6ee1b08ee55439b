"""A program tuned by two workers, to CSV, by evotune."""

from jobs import PROGRAM, TRIALS

import evotune as et

task = et.CommandTask([*PROGRAM, "--lr", "{lr}"])
space = et.Space(lr=et.Float(1e-5, 1, log=True))
study = et.tune(task, space, "max accuracy", trials=TRIALS, workers=2)
study.to_frame().to_csv("trials.csv")
print(study.best.params, study.best.metrics["accuracy"])
