"""Population-based training by Ray Tune 2.60, as its guide writes it.

The peer of the searches in `three_parents_fashion_mnist`.

Two things that Ray leaves to its users are done here: perturbed values are put back into their
bounds, and the learning rate is set again after a donor's optimizer was loaded.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import torch.nn.functional as F
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining
from three_parents_report import Row
from torch import nn

#: Bounds of the genes, and whether on a log scale: `three_parents_fashion_mnist.space`.
BOUNDS = {
    "lr": (1e-4, 1.0, True),
    "momentum": (0.0, 0.99, False),
    "weight_decay": (1e-6, 1e-2, True),
    "dropout": (0.0, 0.7, False),
}
BATCH = 64


@dataclass(frozen=True, slots=True)
class Job:
    """One search.

    Attributes:
        arm: What the tables call it.
        seed: Seed of the search.
        population: Members.
        epochs: Epochs of each.
        network: Makes a model from params.
        examples: Training, validation and test examples.
    """

    arm: str
    seed: int
    population: int
    epochs: int
    network: Callable[[Mapping[str, Any]], nn.Module]
    examples: tuple[tuple[Any, Any], ...]


def ray_row(job: Job, folder: Path) -> Row:
    """Run one search, or read what it found before.

    Args:
        job: The search.
        folder: Where its result is kept.
    """
    kept = folder / f"{job.population}x{job.epochs}_seed{job.seed}.json"
    if kept.exists():
        return Row(**json.loads(kept.read_text()))
    began = time.perf_counter()
    row = _search(job)
    print(
        f"seed {job.seed} · {job.arm}: validation {row.validation:.4g}, test {row.test:.4g}, "
        f"{time.perf_counter() - began:.0f} s",
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(row)))
    return row


def _search(job: Job) -> Row:
    np.random.seed(job.seed)  # noqa: NPY002  (what Ray draws from; it takes no seed)
    cores = os.cpu_count() or 1
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_train, job=job), {"cpu": cores / job.population}
                ),
                param_space=_domains(),
                tune_config=tune.TuneConfig(
                    metric="error",
                    mode="min",
                    num_samples=job.population,
                    reuse_actors=True,  # a new process for every clone would take seconds
                    scheduler=PopulationBasedTraining(
                        time_attr="training_iteration",
                        perturbation_interval=1,
                        hyperparam_mutations=_domains(),
                        custom_explore_fn=_bounded,
                    ),
                ),
                # Keeping fewer checkpoints lets Ray delete those that its members still need.
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            )
            return _row(job, tuner.fit())
    finally:
        ray.shutdown()


def _row(job: Job, results: tune.ResultGrid) -> Row:
    ended = [result for result in results if (result.metrics or {}).get("epoch") == job.epochs]
    if not ended:
        raise SystemExit(f"Ray ended no training of seed {job.seed}: {results.errors}")
    best = min(ended, key=lambda result: result.metrics["error"]).metrics
    return Row(
        arm=job.arm,
        seed=job.seed,
        epochs=sum((result.metrics or {}).get("training_iteration", 0) for result in results),
        validation=best["error"],
        test=best["test_error"],
        failed=results.num_errors,
        seconds=sum((result.metrics or {}).get("time_total_s", 0.0) for result in results),
    )


def _domains() -> dict[str, Any]:
    return {
        name: (tune.loguniform if log else tune.uniform)(low, high)
        for name, (low, high, log) in BOUNDS.items()
    }


def _bounded(config: dict[str, Any]) -> dict[str, Any]:
    return {name: min(max(config[name], low), high) for name, (low, high, _) in BOUNDS.items()}


def _train(config: dict[str, Any], job: Job) -> None:
    torch.set_num_threads(1)
    index = int(tune.get_context().get_trial_id().rpartition("_")[2])
    torch.manual_seed(1000 * job.seed + index)
    parts = [(torch.as_tensor(x), torch.as_tensor(y).long()) for x, y in job.examples]
    model = job.network(config)
    genes = {name: config[name] for name in ("lr", "momentum", "weight_decay")}
    optimizer = torch.optim.SGD(model.parameters(), **genes)
    first = 0
    donor = tune.get_checkpoint()
    if donor is not None:
        with donor.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        optimizer.param_groups[0].update(genes)
        first = state["epoch"]
    for epoch in range(first, job.epochs):
        _one_epoch(model, optimizer, *parts[0])
        measured = {"error": _error(model, *parts[1]), "test_error": _error(model, *parts[2])}
        _report(measured | {"epoch": epoch + 1}, model, optimizer)


def _one_epoch(model: nn.Module, optimizer: Any, x: torch.Tensor, y: torch.Tensor) -> None:
    model.train()
    for chosen in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        F.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()


def _error(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(x).argmax(1) != y).float().mean())


def _report(measured: dict[str, Any], model: nn.Module, optimizer: Any) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": measured["epoch"],
    }
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / "state.pt")
        tune.report(measured, checkpoint=tune.Checkpoint.from_directory(folder))
