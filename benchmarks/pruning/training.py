"""Sparsity while training beside pruning afterwards, on Digits, at equal epochs.

    python benchmarks/pruning/training.py            # five seeds, five CPU minutes, a table
    python benchmarks/pruning/training.py --seeds 2 --first 100 --rate 0.003 0.01 0.03

The network is 64-256-128-10, as in digits.py, and each way has 40 epochs of Adam in all:

- "dense, et.prune": 30 epochs dense, `et.prune`, 10 of fine-tuning under its masks;
- "dense, magnitude": the same with `method="magnitude"`;
- "gradual": `SupervisedTask(sparsity=...)`, Zhu and Gupta (2017);
- "RigL": sparse from the start, Evci et al. (2020), algorithm 1: ERK densities, the smallest
  weights dropped and those with the largest gradients grown, cosine share with alpha 0.3, until
  three quarters of the training.

The learning rate of the last two falls to zero along a cosine; its start is the best of five for
each way, on two other seeds; those of the first two are the library's. Macro F1 of the test images,
mean ± standard deviation over seeds; "p" is Wilcoxon's test of a way against "gradual", paired by
seed (the least that five seeds can give is 0.062), in the last column over all seeds and
sparsities.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from digits import data, score, trained
from scipy.stats import wilcoxon
from torch import Tensor, nn
from torch.nn import functional

import evotune as et

DENSE, TUNED = 30, 10
EPOCHS = DENSE + TUNED
BATCH = 64
#: Best of 0.001, 0.003, 0.01, 0.02 and 0.03 on seeds 100 and 101, at 90 and 98 %.
RATES = {"gradual": 0.02, "RigL": 0.02}
#: Steps between two changes of RigL's masks, about an epoch; alpha; and when the changes end.
EVERY, ALPHA, END = 20, 0.3, 0.75


def network() -> nn.Sequential:
    """Return the untrained network of digits.py."""
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers)


def afterwards(method: str) -> Callable[..., nn.Module]:
    """Return a way that prunes a dense network and fine-tunes it."""

    def way(dense: nn.Module, parts: Sequence[Tensor], sparsity: float, seed: int) -> nn.Module:
        x, y = parts[:2]
        options = {"method": method, "fine_tune": TUNED, "seed": seed}
        return et.prune(dense, sparsity, data=(x, y), **options).model

    return way


def gradual(dense: nn.Module, parts: Sequence[Tensor], sparsity: float, seed: int) -> nn.Module:
    """Train with a sparsity that rises."""
    task = et.SupervisedTask(
        lambda params: network(),
        loss="cross_entropy",
        optimizer="adam",
        train=tuple(parts[:2]),
        validation=tuple(parts[2:]),
        batch_size=BATCH,
        epochs=EPOCHS,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
        sparsity=sparsity,
    )
    return task.fit({"lr": RATES["gradual"]}, seed=seed)


def erk(weights: Sequence[Tensor], density: float) -> list[float]:
    """Return the density of each matrix: in proportion to (rows + columns)/(rows·columns)."""
    size = sum(weight.numel() for weight in weights)
    raw = [sum(weight.shape) / weight.numel() for weight in weights]
    full: set[int] = set()  # those that would be more than dense
    while True:
        left = density * size - sum(weights[k].numel() for k in full)
        rest = [k for k in range(len(weights)) if k not in full]
        scale = left / sum(raw[k] * weights[k].numel() for k in rest)
        over = {k for k in rest if scale * raw[k] > 1}
        if not over:
            return [1.0 if k in full else scale * raw[k] for k in range(len(weights))]
        full |= over


def rigged(dense: nn.Module, parts: Sequence[Tensor], sparsity: float, seed: int) -> nn.Module:
    """Train with a fixed number of weights in each layer, of which some change places."""
    x, y = parts[:2]
    torch.manual_seed(seed)
    model = network()
    weights = [part.weight for part in model if isinstance(part, nn.Linear)]
    masks = [_some(w, p) for w, p in zip(weights, erk(weights, 1 - sparsity), strict=True)]
    _apply(weights, masks)
    optimizer = torch.optim.Adam(model.parameters(), RATES["RigL"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    last = END * EPOCHS * math.ceil(len(x) / BATCH)
    step = 0
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            step += 1
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            if step % EVERY == 0 and step < last:
                share = ALPHA / 2 * (1 + math.cos(step * math.pi / last))
                for weight, mask in zip(weights, masks, strict=True):
                    _move(weight, mask, share, optimizer)
                continue  # algorithm 1: such a step changes places, not values
            for weight, mask in zip(weights, masks, strict=True):
                weight.grad.mul_(mask)
            optimizer.step()
            _apply(weights, masks)
        schedule.step()
    return model.eval()


def _some(weight: Tensor, density: float) -> Tensor:
    """Return a random mask with as many ones as a density says."""
    mask = torch.zeros(weight.numel())
    mask[torch.randperm(weight.numel())[: round(density * weight.numel())]] = 1
    return mask.view_as(weight)


@torch.no_grad()
def _apply(weights: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
    for weight, mask in zip(weights, masks, strict=True):
        weight.mul_(mask)


@torch.no_grad()
def _move(weight: Tensor, mask: Tensor, share: float, optimizer: torch.optim.Optimizer) -> None:
    """Drop a share of the smallest weights, grow as many with the largest gradients from zero."""
    count = int(share * mask.sum())
    flat = mask.view(-1)
    before = flat.clone()
    sizes = weight.abs().view(-1).masked_fill(flat == 0, math.inf)
    flat[sizes.topk(count, largest=False).indices] = 0
    slopes = weight.grad.abs().view(-1).masked_fill(flat == 1, -1)
    grown = slopes.topk(count).indices
    flat[grown] = 1
    new = grown[before[grown] == 0]
    weight.mul_(mask)
    state = optimizer.state[weight]
    for name in ("exp_avg", "exp_avg_sq"):
        if name in state:
            state[name].mul_(mask).view(-1)[new] = 0


WAYS: dict[str, Callable[..., nn.Module]] = {
    "gradual": gradual,
    "dense, et.prune": afterwards("auto"),
    "dense, magnitude": afterwards("magnitude"),
    "RigL": rigged,
}


def sparsity_of(model: nn.Module) -> float:
    """Return the share of zeros in the weights of the linear layers."""
    weights = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    return 1 - sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--rate", type=float, nargs="+", help="learning rates to choose from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rate:
        _tune(options)
        return
    found: dict[tuple[str, float], list[float]] = {}
    taken: dict[str, list[float]] = {}
    dense_f1, dense_seconds, least = [], [], 1.0
    for seed in range(options.first, options.first + options.seeds):
        parts = data(seed)
        began = time.process_time()
        dense = trained(seed, *parts[:2], epochs=DENSE)
        dense_seconds.append(time.process_time() - began)
        dense_f1.append(score(dense, *parts[2:]))
        for sparsity in options.sparsity:
            for name, way in WAYS.items():
                began = time.process_time()
                model = way(dense, parts, sparsity, seed)
                more = dense_seconds[-1] if name.startswith("dense") else 0.0
                taken.setdefault(name, []).append(time.process_time() - began + more)
                least = min(least, sparsity_of(model) - sparsity)
                found.setdefault((name, sparsity), []).append(score(model, *parts[2:]))
        cells = [f"{name} {s:.0%} {found[name, s][-1]:.4f}" for name, s in found]
        print(f"# seed {seed}: {'; '.join(cells)}", flush=True)
    print(f"dense, {DENSE} epochs: {np.mean(dense_f1):.3f} ± {np.std(dense_f1, ddof=1):.3f}")
    print(f"sparsity is at least the wanted {least:+.5f}")
    _table(options.sparsity, found, taken)


def _table(
    sparsities: Sequence[float],
    found: dict[tuple[str, float], list[float]],
    taken: dict[str, list[float]],
) -> None:
    print(f"| | {' | '.join(f'{s:.0%}' for s in sparsities)} | p, all | CPU s |")
    print("|---" * (len(sparsities) + 3) + "|")
    for name in WAYS:
        cells = []
        for s in sparsities:
            cells.append(f"{np.mean(found[name, s]):.3f} ± {np.std(found[name, s], ddof=1):.3f}")
            if name != "gradual":
                cells[-1] += f" (p {_p(found['gradual', s], found[name, s])})"
        ours, theirs = ([f for s in sparsities for f in found[n, s]] for n in ("gradual", name))
        cells += ["" if name == "gradual" else _p(ours, theirs), f"{np.mean(taken[name]):.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")


def _p(ours: Sequence[float], theirs: Sequence[float]) -> str:
    if list(ours) == list(theirs):
        return "1"
    return f"{wilcoxon(ours, theirs).pvalue:.2g}"


def _tune(options: argparse.Namespace) -> None:
    for name in RATES:
        for RATES[name] in options.rate:
            cells = [
                np.mean(
                    [
                        score(WAYS[name](None, parts, sparsity, seed), *parts[2:])
                        for seed in range(options.first, options.first + options.seeds)
                        if (parts := data(seed))
                    ]
                )
                for sparsity in options.sparsity
            ]
            print(name, RATES[name], [f"{cell:.3f}" for cell in cells], flush=True)


if __name__ == "__main__":
    main()
