"""Pruning a perceptron on Digits at high sparsity, beside published methods.

    python benchmarks/pruning/digits.py                     # ten seeds, a table
    python benchmarks/pruning/digits.py --fine-tune 10      # with ten epochs of training afterwards
    python benchmarks/pruning/digits.py --methods synflow magnitude --compensation none bias refit

The network is 64-256-128-10, 30 epochs of Adam on 1,347 images; 450 other images are the test.
Macro F1 of the test images, mean ± standard deviation over seeds; each method is compared with
"auto" by Wilcoxon's test, paired by seed. Published methods are refitted once at the end, if no
other compensation is named. CPU seconds are of pruning alone.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import wilcoxon
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

import evotune as et

METHODS: dict[str, dict[str, Any]] = {
    "auto": {},
    "flow": {"method": "flow"},
    "mix": {"method": "mix"},
    "auto, without labels": {"labels": False},
    "search": {"method": "search"},
    "auto, refined": {"refine": 300},
    "magnitude": {"method": "magnitude"},
    "lamp": {"method": "lamp"},
    "erk": {"method": "erk"},
    "synflow": {"method": "synflow"},
    "iterative_snip": {"method": "iterative_snip"},
    "soft_mask": {"method": "soft_mask"},
    "soft_mask_joint": {"method": "soft_mask_joint"},
    "grasp": {"method": "grasp"},
    # As in the abstract of Hirianskyi and Bulakh (2026): see `et.recipes.evolutionary_pruning`.
    "evolved flow, energy": {"evolved": "energy"},
    "evolved flow, refit": {"evolved": "refit"},
}


def data(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training inputs and labels, and those of the test."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(
        (x / 16).astype("float32"), y, test_size=0.25, random_state=seed, stratify=y
    )
    train_x, test_x, train_y, test_y = map(torch.tensor, parts)
    return train_x, train_y, test_x, test_y


def trained(seed: int, x: Tensor, y: Tensor, epochs: int = 30) -> nn.Module:
    """Return the dense network."""
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return network.eval()


def score(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the macro F1."""
    with torch.no_grad():
        return float(f1_score(y, network(x).argmax(1), average="macro"))


def evolved(network: nn.Module, given: Any, sparsity: float, seed: int, how: str) -> et.Pruned:
    """Return the network whose layers have the densities with the largest synaptic flow."""
    task = et.PruningTask(
        network, data=given, over="densities", sparsity=sparsity, compensation=how, seed=seed
    )
    algorithm = et.recipes.evolutionary_pruning(task.space)
    study = et.tune(task, task.space, "max synflow", algorithm=algorithm, trials=200, seed=seed)
    return task.pruned(study.best.params)


def measured(
    network: nn.Module, parts: Sequence[Tensor], sparsity: float, seed: int, options: dict[str, Any]
) -> tuple[float, float]:
    """Return the F1 of a pruned network, and the CPU seconds that pruning took."""
    x, y, test_x, test_y = parts
    options = dict(options)
    given = (x, y) if options.pop("labels", True) else x
    began = time.process_time()
    if "evolved" in options:
        result = evolved(network, given, sparsity, seed, options["evolved"])
    else:
        result = et.prune(network, sparsity, data=given, seed=seed, **options)
    seconds = time.process_time() - began
    return score(result.model, test_x, test_y), seconds


def speed(run: Callable[[Tensor], Any], x: Tensor, repeats: int = 300) -> float:
    """Return the seconds of a forward pass, the median."""
    taken = []
    with torch.no_grad():
        for _ in range(repeats):
            began = time.perf_counter()
            run(x)
            taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.9, 0.95, 0.98, 0.995])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--fine-tune", type=int, default=0)
    parser.add_argument("--compensation", nargs="+", help="ways, each after each method")
    options = parser.parse_args()
    arms = {name: METHODS[name] for name in options.methods}
    if options.compensation:
        arms = {
            f"{name}, {way}": how | {"compensation": way}
            for name, how in arms.items()
            for way in options.compensation
        }
    torch.set_num_threads(1)
    found: dict[tuple[str, float], list[float]] = {}
    taken: dict[tuple[str, float], list[float]] = {}
    dense, faster = [], []
    for seed in range(options.first, options.first + options.seeds):
        parts = data(seed)
        network = trained(seed, *parts[:2])
        dense.append(score(network, *parts[2:]))
        for sparsity in options.sparsity:
            for name, how in arms.items():
                how = dict(how)
                if how.get("labels", True) and options.fine_tune and "evolved" not in how:
                    how["fine_tune"] = options.fine_tune
                f1, seconds = measured(network, parts, sparsity, seed, how)
                found.setdefault((name, sparsity), []).append(f1)
                taken.setdefault((name, sparsity), []).append(seconds)
        small = et.prune(network, 0.98, data=parts[0], seed=seed).compact()
        faster.append(speed(network, parts[2]) / speed(small, parts[2]))
        print(f"# seed {seed} done", flush=True)
    print(f"dense: {np.mean(dense):.3f} ± {np.std(dense, ddof=1):.3f}")
    print(f"| method | {' | '.join(f'{s:.1%}' for s in options.sparsity)} | CPU s at the last |")
    print("|---" * (len(options.sparsity) + 2) + "|")
    for name in arms:
        cells = [_cell(found, name, sparsity) for sparsity in options.sparsity]
        print(
            f"| {name} | {' | '.join(cells)} | {np.mean(taken[name, options.sparsity[-1]]):.1f} |"
        )
    print(f"compact at 98 %: {np.mean(faster):.1f} ± {np.std(faster, ddof=1):.1f} times as fast")


def _cell(found: dict[tuple[str, float], list[float]], name: str, sparsity: float) -> str:
    values, ours = np.array(found[name, sparsity]), np.array(found.get(("auto", sparsity), []))
    text = f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
    if name == "auto" or len(ours) != len(values) or not (ours != values).any():
        return text
    return f"{text} (p {wilcoxon(ours, values).pvalue:.2g})"


if __name__ == "__main__":
    main()
