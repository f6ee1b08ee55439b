"""Pruning networks of several kinds, beside published methods, with and without fine-tuning.

    python benchmarks/pruning/networks.py --cases lenet-mnist --seeds 3     # some minutes
    python benchmarks/pruning/networks.py --scale tiny --cases lstm-rows    # a minute a seed
    python benchmarks/pruning/networks.py --scale full                      # all: hours

Each result is a line of a file in --runs, and each dense network is kept there, so that the same
command goes on where a killed one ended; `--table` only prints what there is. Every method is given
the same network, the same examples and, tuned, the same epochs (`evotune.pruning.fine_tuning`);
published ones are refitted once at the end. Each is compared with "auto" by Wilcoxon's test, paired
by seed. Seconds are of the CPU, of pruning alone.
"""

import argparse
import copy
import functools
import json
import math
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wilcoxon
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

import evotune as et
from evotune.pruning.fine_tuning import fine_tune
from evotune.training.data import load
from evotune.training.losses import find_loss

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import data as stored

#: Inputs and labels of training, then of the test.
Parts = tuple[Tensor, Tensor, Tensor, Tensor]
METHODS = ("auto", "flow", "mix", "magnitude", "lamp", "synflow", "iterative_snip")
MORE_METHODS = ("erk", "soft_mask")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run.

    Attributes:
        examples: Of training, for each case.
        tested: Examples of the test.
        epochs: Of the training of a dense network.
        tuned: Epochs of fine-tuning.
        width: Of the residual network's first block, and of the other networks as a multiple of 8.
        methods: Which methods.
    """

    examples: int
    tested: int
    epochs: int
    tuned: int
    width: int
    methods: tuple[str, ...]


SCALES = {
    "tiny": Scale(4_000, 2_000, 8, 3, 8, METHODS),
    "small": Scale(10_000, 2_000, 8, 8, 8, METHODS),
    "short": Scale(10_000, 2_000, 8, 2, 8, METHODS),
    "full": Scale(10_000, 10_000, 30, 10, 16, METHODS + MORE_METHODS),
}


# -- networks -------------------------------------------------------------------------------------


def lenet(_: Scale) -> nn.Module:
    """Return LeNet-5 with 61,470 weights."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


class Block(nn.Module):
    """The basic block of a residual network."""

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, step, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.past = nn.Sequential()
        if inputs != outputs:
            past = nn.Conv2d(inputs, outputs, 1, step, bias=False)
            self.past = nn.Sequential(past, nn.BatchNorm2d(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Return images of another width."""
        inside = self.norms[0](self.first(images)).relu()
        found: Tensor = (self.norms[1](self.second(inside)) + self.past(images)).relu()
        return found


def resnet(scale: Scale) -> nn.Module:
    """Return a ResNet-8: three blocks."""
    width = scale.width
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
        *(Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)),
    )


class Forecaster(nn.Module):
    """A GRU over the last hours, which forecasts how all seven series change in the next 24."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.layer = nn.GRU(7, 8 * scale.width, batch_first=True)
        self.output = nn.Linear(8 * scale.width, 24 * 7)

    def forward(self, hours: Tensor) -> Tensor:
        """Return the next hours ``(examples, 24, 7)`` from hours ``(examples, hours, 7)``."""
        last = hours[:, -1:]
        states, _ = self.layer(hours - last)
        found: Tensor = last + self.output(states[:, -1]).unflatten(1, (24, 7))
        return found


class Language(nn.Module):
    """A transformer of two layers that foretells the next character."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        width = 8 * scale.width
        self.embedding, self.places = nn.Embedding(128, width), nn.Embedding(LENGTH, width)
        later = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), 1)
        self.register_buffer("later", later, persistent=False)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, 128)

    def forward(self, characters: Tensor) -> Tensor:
        """Return logits ``(examples, 128, 64)`` from as many characters."""
        x = self.embedding(characters) + self.places.weight
        found: Tensor = self.head(self.encoder(x, self.later)).transpose(1, 2)
        return found


class Rows(nn.Module):
    """A recurrent layer over the rows of images of 14 × 14."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], both: bool) -> None:
        super().__init__()
        width = 32 if both else 64
        self.layer = kind(14, width, batch_first=True, bidirectional=both)
        self.output = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(examples, 10)``."""
        states, _ = self.layer(images.squeeze(1))
        found: Tensor = self.output(states.mean(1) if self.layer.bidirectional else states[:, -1])
        return found


class Attending(nn.Module):
    """A transformer of two layers over the rows of images of 14 × 14."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.places = nn.Linear(14, 32), nn.Parameter(0.02 * torch.randn(14, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 96, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.output = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(examples, 10)``."""
        rows = self.embedding(images.squeeze(1)) + self.places
        found: Tensor = self.output(self.encoder(rows).mean(1))
        return found


def convolutions(_: Scale) -> nn.Module:
    """Return three convolutions with batch norm, for images of 14 × 14."""

    def layer(inputs: int, outputs: int) -> list[nn.Module]:
        made = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [made, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *(*layer(1, 16), *layer(16, 16), nn.MaxPool2d(2)),
        *(*layer(16, 32), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 10)),
    )


# -- data -----------------------------------------------------------------------------------------

#: Characters of a piece of text, and hours that are looked back.
LENGTH, HOURS = 64, 48


def images(read: Callable[[], stored.Images], seed: int, scale: Scale) -> Parts:
    """Return a random part of some images, of mean 0 and deviation 1."""
    x, y, test_x, test_y = read()
    chosen = np.random.default_rng(seed).permutation(len(x))[: scale.examples]
    parts = [_image(x[np.sort(chosen)]), _image(test_x[: scale.tested])]
    mean, deviation = parts[0].mean((0, 2, 3), True), parts[0].std((0, 2, 3), keepdim=True)
    train, test = ((part - mean) / deviation for part in parts)
    labels = [torch.tensor(np.asarray(y)[np.sort(chosen)]), torch.tensor(test_y[: scale.tested])]
    return train, labels[0].long(), test, labels[1].long()


def _image(part: Any) -> Tensor:
    found = torch.tensor(np.asarray(part)).float()
    return found.unsqueeze(1) if found.dim() == 3 else found.movedim(-1, 1)


def halved(seed: int, scale: Scale) -> Parts:
    """Return FashionMNIST at 14 × 14."""
    x, y, test_x, test_y = images(stored.fashion_mnist, seed, scale)
    return functional.avg_pool2d(x, 2), y, functional.avg_pool2d(test_x, 2), test_y


def hours(_: int, scale: Scale) -> Parts:
    """Return windows of ETTh1: 12 months train, and 4 months, which come later, are the test."""
    values = torch.from_numpy(stored.transformer())
    values = (values - values[:8640].mean(0)) / values[:8640].std(0)
    found: list[Tensor] = []
    every = max(1, 30_000 // scale.examples)
    for begin, end in ((HOURS, 8640), (11_520, 14_400)):
        now = range(begin, end - 24 + 1, every)
        found.append(torch.stack([values[k - HOURS : k] for k in now]))
        found.append(torch.stack([values[k : k + 24] for k in now]))
    return found[0], found[1], found[2], found[3]


def source(seed: int, scale: Scale, tested: int = 0) -> Parts:
    """Return pieces of Python's own modules: three fifths of the files train, one is the test.

    Another fifth is for choices of settings: it is tested where ``tested`` is 1.
    """
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = ["", ""]
    for k, file in enumerate(files):
        if k % 5 > 1 or k % 5 == tested:
            text = file.read_text("utf-8", "replace").encode("ascii", "replace").decode()
            texts[k % 5 == tested] += text
    chance = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for text, count in zip(texts, (scale.examples // 2, scale.tested // 2), strict=True):
        codes = torch.frombuffer(bytearray(text, "ascii"), dtype=torch.uint8).long()
        first = torch.randint(len(codes) - LENGTH - 1, (count,), generator=chance)
        pieces = torch.stack([codes[k : k + LENGTH + 1] for k in first.tolist()])
        found += [pieces[:, :-1], pieces[:, 1:]]
    return found[0], found[1], found[2], found[3]


# -- what is measured -----------------------------------------------------------------------------


def macro_f1(output: Tensor, labels: Tensor) -> float:
    """Return the macro F1, in percent."""
    return 100 * float(f1_score(labels, output.argmax(1), average="macro"))


def accuracy(output: Tensor, labels: Tensor) -> float:
    """Return the accuracy, in percent."""
    return 100 * float((output.argmax(1) == labels).float().mean())


def squared_error(output: Tensor, labels: Tensor) -> float:
    """Return the mean squared error, of standardised series."""
    return float(functional.mse_loss(output, labels))


def bits(output: Tensor, labels: Tensor) -> float:
    """Return the bits that a character costs."""
    return float(functional.cross_entropy(output, labels)) / math.log(2)


@dataclass(frozen=True, slots=True)
class Case:
    """A network and its data.

    Attributes:
        network: Of a scale.
        parts: Of a seed and a scale.
        score: Of outputs and labels.
        metric: What the score is called.
        loss: That trains it.
        digits: Of the score.
    """

    network: Callable[[Scale], nn.Module]
    parts: Callable[[int, Scale], Parts]
    score: Callable[[Tensor, Tensor], float]
    metric: str
    loss: str = "cross_entropy"
    digits: int = 1


CASES = {
    "lenet-mnist": Case(lenet, functools.partial(images, stored.mnist), macro_f1, "macro F1, %"),
    "lenet-fashion": Case(
        lenet, functools.partial(images, stored.fashion_mnist), macro_f1, "macro F1, %"
    ),
    "resnet8-cifar10": Case(
        resnet, functools.partial(images, stored.cifar10), accuracy, "accuracy, %"
    ),
    "gru-etth1": Case(Forecaster, hours, squared_error, "MSE", "mse", 4),
    "lstm-rows": Case(lambda _: Rows(nn.LSTM, False), halved, macro_f1, "macro F1, %"),
    "bigru-rows": Case(lambda _: Rows(nn.GRU, True), halved, macro_f1, "macro F1, %"),
    "transformer-rows": Case(lambda _: Attending(), halved, macro_f1, "macro F1, %"),
    "convolutions": Case(convolutions, halved, macro_f1, "macro F1, %"),
    "transformer-source": Case(Language, source, bits, "bits per character", digits=3),
}


def trained(case: Case, parts: Parts, seed: int, scale: Scale, path: Path) -> nn.Module:
    """Return the dense network, trained once: Adam, a learning rate that falls along a cosine."""
    torch.manual_seed(seed)
    network = case.network(scale)
    if path.exists():
        network.load_state_dict(torch.load(path))
        return network.eval()
    x, y, *_ = parts
    loss = find_loss(case.loss)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, scale.epochs)
    for _ in range(scale.epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss(network(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
    part = path.with_suffix(".part")
    torch.save(network.state_dict(), part)
    part.replace(path)
    return network.eval()


def score(case: Case, network: nn.Module, parts: Parts) -> float:
    """Return the score on the test."""
    with torch.no_grad():
        output = torch.cat([network(x) for x in parts[2].split(500)])
    return case.score(output, parts[3])


def tuned(case: Case, network: nn.Module, parts: Parts, scale: Scale, seed: int) -> float:
    """Return the score after fine-tuning, which is the same for all."""
    network, device = copy.deepcopy(network), torch.device("cpu")
    source = load("data", parts[:2], device)[0]
    fine_tune(network, source, find_loss(case.loss), scale.tuned, seed, device)
    return score(case, network, parts)


def latency(network: nn.Module, x: Tensor, repeats: int = 15) -> float:
    """Return the seconds of a forward pass on 256 examples, the median."""
    taken = []
    with torch.no_grad():
        for _ in range(repeats):
            began = time.perf_counter()
            network(x[:256])
            taken.append(time.perf_counter() - began)
    return float(np.median(taken[2:]))


def size(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def measured(
    case: Case,
    network: nn.Module,
    parts: Parts,
    sparsity: float,
    method: str,
    scale: Scale,
    seed: int,
) -> dict[str, Any]:
    """Return what a method makes of a network."""
    x, y, *_ = parts
    began = time.process_time()
    result = et.prune(network, sparsity, data=(x, y), loss=case.loss, method=method, seed=seed)
    seconds = time.process_time() - began
    small = result.compact()
    return {
        "score": score(case, result.model, parts),
        "tuned": tuned(case, result.model, parts, scale, seed),
        "sparsity": result.sparsity,
        "seconds": seconds,
        "dead": sum(not bool(mask.any()) for mask in result.masks.values()),
        "size": size(small),
        "latency": latency(small, x),
    }


# -- runs -----------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the results that there are; a line that a kill cut off is none."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def run(options: argparse.Namespace, path: Path) -> None:
    """Measure what is not measured yet."""
    scale = SCALES[options.scale]
    done = {tuple(row[k] for k in ("case", "seed", "asked", "method")) for row in rows(path)}
    for name in options.cases:
        case = CASES[name]
        for seed in range(options.first, options.first + options.seeds):
            wanted = [
                (sparsity, method)
                for sparsity in options.sparsity
                for method in options.methods or scale.methods
                if (name, seed, sparsity, method) not in done
            ]
            if not wanted and (name, seed, 0, "dense") in done:
                continue
            parts = case.parts(seed, scale)
            kept = path.with_name(f"{name}-{options.scale}-{seed}.pt")
            network = trained(case, parts, seed, scale, kept)
            if (name, seed, 0, "dense") not in done:
                found = {
                    "score": score(case, network, parts),
                    "tuned": tuned(case, network, parts, scale, seed),
                    "size": size(network),
                    "latency": latency(network, parts[0]),
                }
                _note(path, {"case": name, "seed": seed, "asked": 0, "method": "dense"} | found)
            for sparsity, method in wanted:
                found = measured(case, network, parts, sparsity, method, scale, seed)
                key = {"case": name, "seed": seed, "asked": sparsity, "method": method}
                _note(path, key | found)


def _note(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    print(f"# {row}", file=sys.stderr, flush=True)


# -- tables ---------------------------------------------------------------------------------------


def tables(found: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """Yield the tables of each case."""
    for name in names:
        own = [row for row in found if row["case"] == name]
        if not any(row["method"] != "dense" for row in own):
            continue
        case = CASES[name]
        dense = [row for row in own if row["method"] == "dense"]
        seeds = sorted({row["seed"] for row in own})
        yield f"### {name}: {case.metric}, seeds {', '.join(map(str, seeds))}"
        before, after = (
            _spread([row[k] for row in dense], case.digits) for k in ("score", "tuned")
        )
        yield f"Dense: {before}; fine-tuned as the others: {after}."
        for metric, title in (("score", "without fine-tuning"), ("tuned", "with fine-tuning")):
            yield _table(own, metric, title, case.digits)
        yield _costs(own, dense)


def _of(own: Sequence[dict[str, Any]], method: str, sparsity: float) -> dict[int, dict[str, Any]]:
    return {r["seed"]: r for r in own if r["method"] == method and r["asked"] == sparsity}


def _heads(own: Sequence[dict[str, Any]]) -> tuple[list[str], list[float]]:
    methods = dict.fromkeys(row["method"] for row in own if row["method"] != "dense")
    return list(methods), sorted({row["asked"] for row in own if row["asked"]})


def _table(own: Sequence[dict[str, Any]], metric: str, title: str, digits: int) -> str:
    methods, sparsities = _heads(own)
    lines = [f"| {title} | {' | '.join(f'{s:.0%}' for s in sparsities)} |"]
    lines.append("|---" * (len(sparsities) + 1) + "|")
    for method in methods:
        cells = []
        for sparsity in sparsities:
            theirs, ours = _of(own, method, sparsity), _of(own, "auto", sparsity)
            text = _spread([row[metric] for row in theirs.values()], digits)
            both = sorted(theirs.keys() & ours.keys())
            gaps = [theirs[s][metric] - ours[s][metric] for s in both]
            if method != "auto" and any(gaps):
                text += f" (p {wilcoxon(gaps).pvalue:.2g})"
            cells.append(text)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _costs(own: Sequence[dict[str, Any]], dense: Sequence[dict[str, Any]]) -> str:
    methods, sparsities = _heads(own)
    last = sparsities[-1]
    lines = [
        f"| at {last:.0%} | sparsity | seconds | dead layers | parameters after compact | faster |",
        "|---|---|---|---|---|---|",
    ]
    waits = {row["seed"]: row["latency"] for row in dense}
    for method in methods:
        found = list(_of(own, method, last).values())
        if not found:
            continue
        faster = np.mean([waits[row["seed"]] / row["latency"] for row in found])
        sizes = f"{np.mean([row['size'] for row in found]):,.0f} of {dense[0]['size']:,}"
        lines.append(
            f"| {method} | {np.mean([row['sparsity'] for row in found]):.4%} "
            f"| {np.mean([row['seconds'] for row in found]):.1f} "
            f"| {np.mean([row['dead'] for row in found]):.1f} | {sizes} | ×{faster:.1f} |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--sparsity", type=float, nargs="+", default=list(SPARSITIES))
    parser.add_argument("--methods", nargs="+", default=None)
    parser.add_argument("--runs", type=Path, default=Path(__file__).with_name("runs"))
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    path = options.runs / f"networks-{options.scale}.jsonl"
    if not options.table:
        run(options, path)
    print("\n\n".join(tables(rows(path), options.cases)))


if __name__ == "__main__":
    main()
