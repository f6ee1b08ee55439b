"""The report of a pruned network: one HTML page that needs no network and no other file."""

import copy
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go

from evotune.analysis.text import count, duration, label
from evotune.architectures.cost import Cost, cost
from evotune.checks import user_path, write_whole
from evotune.printing import number
from evotune.pruning.compact import unmasked
from evotune.report.figures.marks import line_mode
from evotune.report.figures.theme import BLUE, GREY, ORANGE, finish
from evotune.report.parts import Cell, Page, Section, Table, Tile
from evotune.report.templating import render_page
from evotune.training.data import count as examples_in

#: The network as it was, under masks, and smaller.
FORMS = ("dense", "masked", "compact")

#: By name of the network's form, the metrics of it.
Quality = Mapping[str, Mapping[str, float]]


class LayerRow(NamedTuple):
    """What is left of one parameter.

    Attributes:
        name: Of the parameter.
        shape: Of the parameter.
        kept: How many of its weights are left.
        rows: How many rows (outputs) have none left.
        columns: How many columns (inputs, or input channels) have none left.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """How many weights it had."""
        found = 1
        for length in self.shape:
            found *= length
        return found

    @property
    def density(self) -> float:
        """The share of its weights that is left."""
        return self.kept / self.size


def write(
    path: str | PathLike[str],
    pruned: Any,
    *,
    costs: Mapping[str, Cost] | None = None,
    quality: Quality | None = None,
) -> Path:
    """Write the page and return its path.

    Args:
        path: Ends in ``.html``, ``.htm`` or nothing; a file that stands there is replaced at once.
        pruned: An `evotune.Pruned`.
        costs: What `costs_of` gave; measured here by default.
        quality: Metrics of the ``dense`` and the ``pruned`` network.

    Raises:
        StudyError: The path has another ending, or cannot be written.
    """
    target = user_path(path, endings=(".html", ".htm"))
    costs = costs_of(pruned) if costs is None else costs
    rows = rows_of(pruned.masks)
    page = Page(
        "evotune pruning",
        type(pruned.model).__name__,
        _facts(pruned),
        tuple(_sections(pruned, rows, costs, quality or {})),
        findings=tuple(_findings(pruned, rows, costs)),
        tiles=tuple(_tiles(pruned, costs)),
    )
    return write_whole(target, render_page(page))


def rows_of(masks: Mapping[str, Any]) -> list[LayerRow]:
    """Return what is left of each parameter."""
    rows = []
    for name, mask in masks.items():
        by_place = mask.flatten(2).any(2) if mask.dim() > 2 else mask.reshape(len(mask), -1)
        rows.append(
            LayerRow(
                name,
                tuple(mask.shape),
                int(mask.sum()),
                int((~by_place.any(1)).sum()),
                int((~by_place.any(0)).sum()),
            )
        )
    return rows


def costs_of(pruned: Any) -> dict[str, Cost]:
    """Return what the network costs in its `FORMS`, measured on its inputs; {} without these."""
    if pruned.inputs is None:
        return {}
    forms = (unmasked(copy.deepcopy(pruned.model)), pruned.model, pruned.compact())
    return {
        name: cost(form, pruned.inputs, latency=True)
        for name, form in zip(FORMS, forms, strict=True)
    }


def _facts(pruned: Any) -> dict[str, str]:
    """Return what was asked."""
    asked = dict(pruned.asked)
    facts = {}
    if "sparsity" in asked:
        facts["sparsity asked"] = percent(asked["sparsity"])
    known = [
        name
        for name in ("method", "compensation", "structure", "seed")
        if asked.get(name) is not None
    ]
    facts |= {name: str(asked[name]) for name in known}
    if asked.get("refine"):
        facts["refinement"] = f"{len(pruned.losses)} of {count(asked['refine'], 'step')}"
    if asked.get("fine_tune"):
        facts["fine-tuning"] = count(asked["fine_tune"], "epoch")
    if "examples" in asked:
        with_labels = "with labels" if asked.get("labels") else "without labels"
        facts["calibrated on"] = f"{count(asked['examples'], 'example')} {with_labels}"
    if "seconds" in pruned.measured:
        facts["took"] = duration(pruned.measured["seconds"])
    return facts


def percent(share: float) -> str:
    """Return a share as per cent, with all digits that tell 99.95 from 99.99."""
    return f"{100 * share:.6g} %"


def _tiles(pruned: Any, costs: Mapping[str, Cost]) -> Iterator[Tile]:
    yield Tile("sparsity", f"{100 * pruned.sparsity:.2f} %", f"exactly {pruned.sparsity:.8g}")
    yield Tile("weights left", f"{pruned.kept:,}", f"of {pruned.size:,}")
    if "loss" in pruned.measured:
        dense = number(pruned.measured["dense_loss"])
        yield Tile("loss, calibration", number(pruned.measured["loss"]), f"{dense} before")
    if costs:
        small, dense_cost = costs["compact"], costs["dense"]
        note = f"of {dense_cost.parameters:,} before, biases and all else counted"
        yield Tile("parameters, compact", f"{small.parameters:,}", note)


def _findings(pruned: Any, rows: list[LayerRow], costs: Mapping[str, Cost]) -> Iterator[str]:
    cut = [row.name for row in rows if not row.kept]
    if cut:
        yield f"Nothing flows through the network any more: {', '.join(cut)} lost all weights."
    if pruned.left_dense:
        parts = count(len(pruned.left_dense), "part")
        yield f"{parts} with weights stayed dense, and do not count in the sparsity."
    steps = pruned.asked.get("refine") or 0
    if len(pruned.losses) < steps:
        yield f"Refinement ended after {len(pruned.losses)} of {steps} steps, as its time was up."
    if costs and costs["compact"].parameters == costs["dense"].parameters:
        yield "The compact network is as large as the dense one: no unit could be taken out."


def _sections(
    pruned: Any, rows: list[LayerRow], costs: Mapping[str, Cost], quality: Quality
) -> Iterator[Section]:
    if quality:
        yield _quality(quality)
    yield Section(
        "densities",
        "What is left of each layer",
        "The share of the weights that is left; the line is that of all together. A row is an "
        "output of the layer, a column an input, or an input channel; without weights, a row is a "
        "constant, and a column is not read.",
        _densities(rows, pruned),
        table=_layers(rows, pruned),
    )
    if len(pruned.losses) > 1:
        yield Section(
            "refinement",
            "Refinement",
            "The loss on the calibration examples after each step: connections are dropped and "
            "others grown, and what is better stays.",
            _curve(pruned.losses),
        )
    if costs:
        yield _costs(costs, examples_in(pruned.inputs))
    if pruned.left_dense:
        table = Table(("part", "why"), tuple(pruned.left_dense.items()))
        caption = "These have weights, and none was removed."
        yield Section("dense", "What was left dense", caption, table=table)


def _quality(quality: Quality) -> Section:
    names = list(dict.fromkeys(name for metrics in quality.values() for name in metrics))
    rows = (
        (form, *(number(float(metrics[n])) if n in metrics else "–" for n in names))
        for form, metrics in quality.items()
    )
    caption = "Measured on all of the data that were given, on some of which it was pruned."
    return Section("quality", "Quality", caption, table=Table(("network", *names), tuple(rows)))


def _densities(rows: list[LayerRow], pruned: Any) -> go.Figure:
    shares = [100 * row.density for row in rows]
    places = list(range(len(rows)))
    figure = go.Figure()
    figure.add_bar(
        x=shares,
        y=places,
        orientation="h",
        marker={"color": BLUE},
        hoverinfo="text",
        hovertext=[
            f"{share:.4g} %: {row.kept:,} of {row.size:,} weights"
            for share, row in zip(shares, rows, strict=True)
        ],
    )
    figure.add_vline(100 * pruned.kept / max(1, pruned.size), line={"color": GREY, "dash": "dash"})
    names = [label(row.name) for row in rows]
    return finish(
        figure,
        height=110 + 26 * len(rows),
        bargap=0.35,
        xaxis={"title": {"text": "weights left, %"}, "rangemode": "tozero"},
        yaxis={"tickvals": places, "ticktext": names, "autorange": "reversed"},
    )


def _layers(rows: list[LayerRow], pruned: Any) -> Table:
    head = ("parameter", "shape", "weights", "left", "density", "rows without", "columns without")
    body = [
        (
            row.name,
            " × ".join(map(str, row.shape)),
            f"{row.size:,}",
            f"{row.kept:,}",
            f"{100 * row.density:.4g} %",
            str(row.rows),
            str(row.columns),
        )
        for row in rows
    ]
    kept, share = f"{pruned.kept:,}", percent(pruned.kept / max(1, pruned.size))
    total = (Cell("all", strong=True), "", f"{pruned.size:,}", kept, share, "", "")
    return Table(head, (*body, total))


def _curve(losses: tuple[float, ...]) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(1, len(losses) + 1)),
        y=list(losses),
        mode=line_mode(len(losses)),
        line={"color": ORANGE, "width": 2, "shape": "hv"},
        hoverinfo="x+y",
    )
    axes = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "loss"}}}
    return finish(figure, height=300, **axes)


def _costs(costs: Mapping[str, Cost], examples: int) -> Section:
    dense = costs["dense"]
    rows = []
    for name, found in costs.items():
        seconds = found.latency or 0.0
        faster = (dense.latency or 0.0) / seconds if seconds else 1.0
        rows.append(
            (
                name,
                f"{found.parameters:,}",
                f"{found.multiply_adds:,}",
                f"{1000 * seconds:.3g} ms",
                f"× {faster:.2g}",
            )
        )
    head = ("network", "parameters", "multiply-adds", "latency", "speed")
    caption = (
        f"Latency is the median of forward passes of {count(examples, 'example')} on this machine. "
        "Dense: as it was. Masked: result.model, which multiplies by its masks as it runs, so that "
        "they hold in training too. Compact: result.compact(), the same outputs from smaller "
        "layers."
    )
    return Section("cost", "Size and latency", caption, table=Table(head, tuple(rows)))
