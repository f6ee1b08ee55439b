"""The toy of population.py by Ray Tune's population-based training; prints one line of JSON.

python benchmarks/population_ray.py SEED, with a Python that has ray[tune] 2.60, torch, scikit-learn
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ray import init, tune
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

MEMBERS, EPOCHS, INTERVAL = 8, 20, 4


def train(config):
    """Train a member; checkpoint and report after every epoch, as Ray's guide does."""
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.tensor(images[order] / 16, dtype=torch.float32)
    y = torch.tensor(labels[order])
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    start = 0
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        for group in optimizer.param_groups:
            group.update(lr=config["lr"], momentum=config["momentum"])
        start = state["epoch"] + 1
    for epoch in range(start, EPOCHS):
        for batch in torch.randperm(1200).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = float((model(x[1200:]).argmax(1) == y[1200:]).float().mean())
        with tempfile.TemporaryDirectory() as folder:
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
                Path(folder) / "state.pt",
            )
            tune.report(
                {"accuracy": accuracy, "training_iteration": epoch + 1},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def main(seed: int) -> None:
    """Run the toy once."""
    np.random.seed(seed)  # noqa: NPY002  (Ray's scheduler draws from the global stream)
    init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    scheduler = tune.schedulers.PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=INTERVAL,
        hyperparam_mutations={
            "lr": tune.loguniform(1e-4, 1.0),
            "momentum": tune.uniform(0.0, 0.99),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"lr": tune.loguniform(1e-4, 1.0), "momentum": tune.uniform(0.0, 0.99)},
            tune_config=tune.TuneConfig(
                metric="accuracy", mode="max", scheduler=scheduler, num_samples=MEMBERS
            ),
            run_config=tune.RunConfig(storage_path=folder, name="toy", verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - began
        folders = len(list(Path(folder).rglob("checkpoint_*")))
    best = max(float(frame["accuracy"].max()) for frame in (r.metrics_dataframe for r in results))
    print(json.dumps({"seconds": seconds, "accuracy": best, "folders": folders}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
