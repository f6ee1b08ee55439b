"""How much faster a compact network is than the dense one, on Digits, 64-256-128-10.

    python benchmarks/pruning/latency.py --threads 1

Forward passes of the dense network, of the compact one with ordinary linear layers, of the compact
one as it is, and of this with its ReLUs in place, in turns, so that whatever else runs on the
machine slows all of them. Medians of how many times as fast as the dense one, mean ± standard
deviation over seeds.
"""

import argparse
import copy
import time

import numpy as np
import torch
from digits import data, trained
from torch import Tensor, nn

import evotune as et
from evotune.pruning.features_first import taken_out

FORMS = ("ordinary layers", "compact", "compact, ReLU in place")


def seconds(networks: list[nn.Module], x: Tensor, rounds: int = 150) -> list[float]:
    """Return the seconds of a forward pass of each, medians."""
    taken = np.zeros((rounds, len(networks)))
    with torch.inference_mode():
        for row in taken:
            for k, network in enumerate(networks):
                network(x)  # the caches are another's
                began = time.perf_counter()
                for _ in range(3):
                    network(x)
                row[k] = (time.perf_counter() - began) / 3
    return [float(found) for found in np.median(taken, 0)]


def in_place(network: nn.Module) -> nn.Module:
    """Return a copy with its ReLUs in place."""
    found = copy.deepcopy(network)
    for module in found.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    return found


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sparsity", type=float, default=0.98)
    parser.add_argument("--examples", type=int, nargs="+", default=[1, 64, 256, 450, 1000])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = np.zeros((options.seeds, len(options.examples), len(FORMS) + 1))
    weights, apart = [], 0.0
    for k in range(options.seeds):
        seed = options.first + k
        x, y, test_x, _ = data(seed)
        dense = trained(seed, x, y)
        result = et.prune(dense, options.sparsity, data=(x, y), seed=seed)
        small = result.compact()
        weights.append(sum(p.numel() for p in small.parameters()))
        networks = [dense, taken_out(copy.deepcopy(small)), small, in_place(small)]
        with torch.no_grad():
            scale = result.model(test_x).abs().max()
            apart = max(
                apart, float((small(test_x) - result.model(test_x)).abs().max().div(scale))
            )
        for n, examples in enumerate(options.examples):
            some = test_x.repeat(1 + examples // len(test_x), 1)[:examples].contiguous()
            found[k, n] = seconds(networks, some)
        print(f"# seed {seed} done", flush=True)
    print(f"{options.threads} thread(s), parameters {np.mean(weights):.0f} ± ", end="")
    print(f"{np.std(weights, ddof=1):.0f}, outputs at most {apart:.1g} of their largest apart")
    print(f"| examples | dense, µs | {' | '.join(FORMS)} |")
    print("|---" * (len(FORMS) + 2) + "|")
    for n, examples in enumerate(options.examples):
        times = found[:, n, :1] / found[:, n, 1:]
        cells = [f"{t.mean():.2f} ± {t.std(ddof=1):.2f}" for t in times.T]
        print(f"| {examples} | {1e6 * np.median(found[:, n, 0]):.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
