"""Curves of quality against sparsity, with intervals, of what networks.py has measured.

    python benchmarks/pruning/curves.py benchmarks/pruning/runs/networks-small.jsonl
    python benchmarks/pruning/curves.py RUNS.jsonl MORE.jsonl --cases lstm-rows --html curves.html

For each network, with and without fine-tuning: the mean over seeds and Student's 95 % interval of
it, a row a method and a column a sparsity. ``--html`` draws the same: one row of panels a network,
weights left on a logarithmic axis, the dense network at 100 %. The intervals are of each method by
itself; as all methods share their seeds, whether two differ is what the paired test of networks.py
says.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from networks import CASES, rows
from plotly.subplots import make_subplots

from evotune.analysis.statistics import mean_interval
from evotune.report.figures.theme import BLUE, CATEGORIES, finish

PARTS = {"score": "without fine-tuning", "tuned": "with fine-tuning"}
COLOURS = (BLUE, *CATEGORIES[1:])

#: Mean, and both ends of its interval, which are NaN of one seed.
Point = tuple[float, float, float]


def curve(own: Sequence[dict[str, Any]], method: str, part: str) -> dict[float, Point]:
    """Return the points of a method by sparsity, the dense network's at 0 first."""
    points: dict[float, Point] = {}
    for sparsity in sorted({row["asked"] for row in own}):
        wanted = method if sparsity else "dense"
        values = [r[part] for r in own if r["asked"] == sparsity and r["method"] == wanted]
        if values:
            low, high = mean_interval(np.array(values))
            points[sparsity] = float(np.mean(values)), low, high
    return points


def methods_of(own: Sequence[dict[str, Any]]) -> list[str]:
    """Return the methods that were measured, in their order."""
    return [name for name in dict.fromkeys(row["method"] for row in own) if name != "dense"]


def tables(name: str, own: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the tables of a network."""
    seeds = sorted({row["seed"] for row in own})
    yield f"### {name}: {CASES[name].metric}, seeds {', '.join(map(str, seeds))}"
    sparsities = sorted({row["asked"] for row in own})
    for part, title in PARTS.items():
        heads = [f"{s:.1%}".replace(".0%", "%") if s else "dense" for s in sparsities]
        lines = [f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for method in methods_of(own):
            points = curve(own, method, part)
            cells = [_cell(points.get(s), CASES[name].digits) for s in sparsities]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        yield "\n".join(lines)


def _cell(point: Point | None, digits: int) -> str:
    if point is None:
        return "–"
    mean, low, high = (f"{value:.{digits}f}" for value in point)
    return mean if np.isnan(point[1]) else f"{mean} ({low} to {high})"


def drawn(cases: dict[str, list[dict[str, Any]]]) -> go.Figure:
    """Return a figure with a row of two panels for each network."""
    titles = [f"{name}, {title}" for name in cases for title in PARTS.values()]
    figure = make_subplots(len(cases), 2, shared_yaxes="rows", subplot_titles=titles)
    methods = list(dict.fromkeys(m for own in cases.values() for m in methods_of(own)))
    shown: set[str] = set()
    for k, (name, own) in enumerate(cases.items(), 1):
        for column, part in enumerate(PARTS, 1):
            for method in methods_of(own):
                points = curve(own, method, part)
                means, lows, highs = np.array(list(points.values())).T
                trace = go.Scatter(
                    x=[100 * (1 - sparsity) for sparsity in points],
                    y=means,
                    error_y={"array": highs - means, "arrayminus": means - lows, "thickness": 1},
                    mode="lines+markers",
                    name=method,
                    legendgroup=method,
                    showlegend=method not in shown,
                    line={"color": COLOURS[methods.index(method) % len(COLOURS)]},
                )
                shown.add(method)
                figure.add_trace(trace, k, column)
        figure.update_yaxes(title_text=CASES[name].metric, row=k, col=1)
    left = sorted({100 * (1 - row["asked"]) for own in cases.values() for row in own})
    figure.update_xaxes(
        type="log",
        autorange="reversed",
        title_text="weights left, %",
        tickvals=left,
        ticktext=[f"{share:.3g}" for share in left],
    )
    return finish(figure, height=80 + 320 * len(cases))


def main() -> None:
    """Print and draw, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="files that networks.py has written")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="default: all that there are")
    parser.add_argument("--html", type=Path, help="draw them in this file, too")
    options = parser.parse_args()
    for path in options.runs:
        if not path.exists():
            parser.error(f"there is no {path}; networks.py writes it: --runs FOLDER")
    cases: dict[str, list[dict[str, Any]]] = {}
    seen: dict[tuple[Any, ...], Path] = {}
    for path in options.runs:
        for row in rows(path):
            key = tuple(row[k] for k in ("case", "seed", "asked", "method"))
            if seen.setdefault(key, path) != path:
                parser.error(f"{key} is in {seen[key]} and in {path}; draw each scale by itself")
            if row["case"] in (options.cases or CASES):
                cases.setdefault(row["case"], []).append(row)
    cases = {name: own for name, own in cases.items() if methods_of(own)}
    if not cases:
        parser.error("these files hold no pruned network of these cases")
    for name, own in cases.items():
        print("\n\n".join(tables(name, own)), end="\n\n")
    if options.html:
        drawn(cases).write_html(options.html)


if __name__ == "__main__":
    main()
