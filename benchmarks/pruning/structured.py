"""Sparsity with a structure on Digits: so many weights of each group, and whole features.

    python benchmarks/pruning/structured.py                 # ten seeds, two tables

The network is that of `digits.py`: 64-256-128-10. Macro F1 of the test images without fine-tuning,
mean ± standard deviation over seeds. "magnitude" is one refit of the largest weights of each group,
or of the features whose weights are largest together.
"""

import argparse
from typing import Any

import numpy as np
import torch
from digits import data, score, speed, trained
from scipy.stats import wilcoxon

import evotune as et

METHODS = ("magnitude", "flow", "mix")
ASKED: dict[str, dict[str, Any]] = {
    "2:4": {"structure": "2:4"},
    "1:4": {"structure": "1:4"},
    "1:8": {"structure": "1:8"},
    "1:16": {"structure": "1:16"},
    "channels, 80 %": {"structure": "channels", "sparsity": 0.8},
    "channels, 90 %": {"structure": "channels", "sparsity": 0.9},
    "channels, 95 %": {"structure": "channels", "sparsity": 0.95},
}


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[float]] = {}
    faster: dict[str, list[float]] = {}
    dense = []
    for seed in range(options.first, options.first + options.seeds):
        x, y, test_x, test_y = data(seed)
        network = trained(seed, x, y)
        dense.append(score(network, test_x, test_y))
        for name, asked in ASKED.items():
            for method in METHODS:
                result = et.prune(network, data=(x, y), method=method, seed=seed, **asked)
                found.setdefault((name, method), []).append(score(result.model, test_x, test_y))
            small = result.compact()
            faster.setdefault(name, []).append(speed(network, test_x) / speed(small, test_x))
        print(f"# seed {seed} done", flush=True)
    print(f"dense: {np.mean(dense):.3f} ± {np.std(dense, ddof=1):.3f}")
    print(f"| structure | {' | '.join(METHODS)} | flow against magnitude, p | compact, × as fast |")
    print("|---" * (len(METHODS) + 3) + "|")
    for name in ASKED:
        cells = [
            f"{np.mean(found[name, m]):.3f} ± {np.std(found[name, m], ddof=1):.3f}" for m in METHODS
        ]
        gaps = np.array(found[name, "flow"]) - np.array(found[name, "magnitude"])
        p = wilcoxon(gaps).pvalue if gaps.any() else 1.0
        print(f"| {name} | {' | '.join(cells)} | {p:.3f} | {np.mean(faster[name]):.1f} |")


if __name__ == "__main__":
    main()
