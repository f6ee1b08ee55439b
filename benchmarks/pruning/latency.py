"""How much faster compact networks are than the dense one, on Digits, 64-256-128-10.

    python benchmarks/pruning/latency.py            # at 98 %, batches of several sizes, ten seeds
    python benchmarks/pruning/latency.py --method narrow
    python benchmarks/pruning/latency.py --sweep    # several sparsities, of which one is the knee

One thread. Forward passes of the networks in turns, so that whatever else runs on the machine slows
all of them; a time is the median of their CPU times, which waiting for a core does not count in.
Figures are mean ± standard deviation over seeds.
"""

import argparse
from collections.abc import Sequence
from time import process_time

import numpy as np
import torch
from digits import data, score, trained
from torch import Tensor, nn

import evotune as et

SPARSITIES = (0.8, 0.9, 0.95, 0.98)
EXAMPLES = (64, 256, 450, 1000)


def seconds(networks: Sequence[nn.Module], x: Tensor, rounds: int = 150) -> list[float]:
    """Return the CPU seconds of a forward pass of each, medians."""
    taken = np.zeros((rounds, len(networks)))
    with torch.inference_mode():
        for row in taken:
            for k, network in enumerate(networks):
                network(x)  # the caches are another's
                began = process_time()
                for _ in range(3):
                    network(x)
                row[k] = (process_time() - began) / 3
    return [float(found) for found in np.median(taken, 0)]


def parameters(network: nn.Module) -> int:
    """Return how many parameters it has, biases counted."""
    return sum(p.numel() for p in network.parameters())


def apart(found: nn.Module, wanted: nn.Module, x: Tensor) -> float:
    """Return the largest difference of outputs, as a share of the largest output."""
    with torch.no_grad():
        outputs = wanted(x)
        return float((found(x) - outputs).abs().max() / outputs.abs().max())


def by_examples(seeds: Sequence[int], method: str) -> None:
    """Print times at 98 %, by the examples of a batch."""
    taken = np.zeros((len(seeds), len(EXAMPLES), 2))
    sizes, errors, known = [], [], []
    for k, seed in enumerate(seeds):
        x, y, test_x, test_y = data(seed)
        dense = trained(seed, x, y)
        result = et.prune(dense, 0.98, data=(x, y), method=method, seed=seed)
        small = result.compact()
        known.append(score(small, test_x, test_y))
        sizes.append(parameters(small))
        errors.append(apart(small, result.model, test_x))
        for n, examples in enumerate(EXAMPLES):
            some = test_x.repeat(1 + examples // len(test_x), 1)[:examples].contiguous()
            taken[k, n] = seconds([dense, small], some)
        print(f"# seed {seed} done", flush=True)
    print(f"parameters {spread(sizes, 0)}, macro F1 {spread(known, 3)}")
    print(f"outputs at most {max(errors):.1g} of the largest apart")
    print("| examples | dense, µs | compact, µs | times as fast |\n|---|---|---|---|")
    for examples, (one, other) in zip(EXAMPLES, taken.transpose(1, 2, 0), strict=True):
        times = f"{spread(one / other, 1)}, median {np.median(one / other):.1f}"
        print(f"| {examples} | {spread(1e6 * one, 0)} | {spread(1e6 * other, 0)} | {times} |")


def by_sparsity(seeds: Sequence[int]) -> None:
    """Print quality, size and times on 450 test images, by sparsity."""
    names = ("dense", *(f"{share:.0%}" for share in SPARSITIES))
    found = np.zeros((len(seeds), len(names), 3))
    knees = np.zeros(len(names), int)
    for k, seed in enumerate(seeds):
        x, y, test_x, test_y = data(seed)
        dense = trained(seed, x, y)
        sweep = et.prune(dense, SPARSITIES, data=(x, y), seed=seed)
        networks = [dense, *(result.compact() for result in sweep)]
        knees[1 + list(sweep).index(sweep.knee)] += 1
        found[k, :, 0] = [score(network, test_x, test_y) for network in networks]
        found[k, :, 1] = [parameters(network) for network in networks]
        found[k, :, 2] = seconds(networks, test_x)
        print(f"# seed {seed} done", flush=True)
    print("| sparsity | macro F1 | parameters | µs | times as fast | knee |\n" + "|---" * 6 + "|")
    for n, name in enumerate(names):
        f1, size, time = found[:, n].T
        times = spread(found[:, 0, 2] / time, 2)
        cells = (spread(f1, 3), spread(size, 0), spread(1e6 * time, 0), times)
        print(f"| {name} | {' | '.join(cells)} | {knees[n]} of {len(seeds)} |")


def spread(values: Sequence[float], digits: int) -> str:
    """Return mean ± standard deviation."""
    return f"{np.mean(values):,.{digits}f} ± {np.std(values, ddof=1):,.{digits}f}"


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sweep", action="store_true", help="several sparsities")
    parser.add_argument("--method", default="auto", help="of the first table; auto by default")
    parser.add_argument("--seeds", type=int, help="10, or 5 with --sweep")
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.seeds or (5 if options.sweep else 10)
    seeds = range(options.first, options.first + count)
    if options.sweep:
        by_sparsity(seeds)
    else:
        by_examples(seeds, options.method)


if __name__ == "__main__":
    main()
