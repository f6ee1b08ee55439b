"""A study in one small SVG: best so far with spread, and the family of the best trial.

Written by hand: it needs no browser and no image library.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evotune.analysis.data import StudyData, prepare
from evotune.analysis.generations import quantiles
from evotune.analysis.scales import Floats, Scale
from evotune.analysis.text import number, shorten
from evotune.checks import write_whole
from evotune.protocols import StudyDefinition
from evotune.trial import Trial

_WIDTH, _HEIGHT = 920, 360
# Tones that can be read on a white page and on a dark one: the background stays clear.
_TEXT, _GRID, _BLUE, _ORANGE = "#7a8594", "#8a94a3", "#3b7dc9", "#e8830c"
_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;"
    f"fill:{_TEXT}}}text.title{{font-size:14px;font-weight:600}}"
    f"text.blue{{fill:{_BLUE}}}text.orange{{fill:{_ORANGE};font-weight:600}}"
    f".grid{{stroke:{_GRID};stroke-opacity:.25}}.edge{{stroke:{_BLUE};stroke-opacity:.5}}"
    f".median{{fill:none;stroke:{_BLUE};stroke-width:2}}"
    f".best{{fill:none;stroke:{_ORANGE};stroke-width:3;stroke-linejoin:round}}"
)

Numbers = Floats | npt.NDArray[np.int64]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Frame:
    """A plot's place in the picture, in pixels, and its two scales."""

    left: float
    right: float
    x_scale: Scale
    y_scale: Scale
    top: float = 76.0
    bottom: float = 308.0

    def x(self, values: Numbers) -> Floats:
        return self.left + (self.right - self.left) * _share(self.x_scale, values)

    def y(self, values: Numbers) -> Floats:
        return self.bottom - (self.bottom - self.top) * _share(self.y_scale, values)

    def points(self, x: Numbers, y: Numbers) -> list[Point]:
        return list(zip(self.x(x).tolist(), self.y(y).tolist(), strict=True))


def _share(scale: Scale, values: Numbers) -> Floats:
    low, high = scale.ends()
    if high == low:
        return np.full(len(values), 0.5)
    return (scale.position(values.astype(float)) - low) / (high - low)


def write_picture(path: str | Path, definition: StudyDefinition, trials: Sequence[Trial]) -> Path:
    """Write a picture of a study as SVG, 920 by 360 pixels.

    Args:
        path: Where to.
        definition: The study.
        trials: Its trials, in any order and state.

    Returns:
        The path that was written.

    Raises:
        StudyError: The path cannot be written.
    """
    data = prepare(definition, trials)
    title = html.escape(f"{definition.name}: {data.objectives}")
    body = "\n".join(_drawn(data))
    return write_whole(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n{body}\n</svg>\n",
    )


def _drawn(data: StudyData) -> Iterator[str]:
    if not data.done:
        yield _text((_WIDTH / 2, _HEIGHT / 2), "No trial is done yet", "middle")
    elif len(data.family()) < 2:
        yield from _progress(data, 896.0)
    else:
        yield from _progress(data, 440.0)
        yield from _family(data, 530.0)


def _progress(data: StudyData, right: float) -> Iterator[str]:
    x, bands = quantiles(data.done_groups, data.first_scores, (0.1, 0.25, 0.5, 0.75, 0.9))
    frame = _Frame(64.0, right, Scale(float(x[0]), float(x[-1])), data.score_scale[0])
    title = f"How {shorten(data.objective.metric, 30)} improved"
    legend = ("best so far", "median, middle 50 % and 80 %")
    yield from _axes(frame, (title, *legend, data.groups.name))
    for low, high, opacity in ((0, 4, 0.18), (1, 3, 0.3)):
        outline = [*frame.points(x, bands[low]), *frame.points(x, bands[high])[::-1]]
        yield f'<polygon points="{_path(outline)}" fill="{_BLUE}" fill-opacity="{opacity}"/>'
    yield _line(frame.points(x, bands[2]), "median")
    groups, places = data.best_by_group()
    best = frame.points(groups, data.first_scores[places])
    corners = [best[0]]
    for point in best[1:]:
        corners += [(point[0], corners[-1][1]), point]
    yield _line(corners, "best")
    reached = number(float(data.first_scores[data.ranking[0]]))
    yield _text((best[-1][0], best[-1][1] - 9), reached, "end", "orange")


def _family(data: StudyData, left: float) -> Iterator[str]:
    line = data.family()
    places = {trial.number: k for k, trial in enumerate(data.done)}
    rows = [places[trial.number] for trial in line]
    born, scores = data.groups.born[data.places[rows]], data.first_scores[rows]
    x_scale = Scale(float(born.min()), float(born.max()))
    y_scale = Scale(float(scores.min()), float(scores.max()), data.score_scale[0].log)
    frame = _Frame(left, 896.0, x_scale, y_scale)
    legend = (data.path_name, "all ancestors")
    yield from _axes(frame, ("Where the best trial comes from", *legend, data.groups.born_name))
    at = dict(zip([t.number for t in line], frame.points(born, scores), strict=True))
    edges = [(at[p], at[t.number]) for t in line for p in t.parents if p in at]
    yield from (_line(edge, "edge") for edge in edges)
    path = [trial.number for trial in data.best_path()]
    yield _line([at[n] for n in path], "best")
    for n, (x, y) in at.items():
        colour, size = _ORANGE if n in path else _BLUE, 7 if n == line[-1].number else 4
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'


def _axes(frame: _Frame, words: tuple[str, str, str, str]) -> Iterator[str]:
    """Yield title, legend in the two colours, grid lines, ticks and the name of the x axis."""
    title, orange, blue, below = words
    yield _text((frame.left, 26), title, "start", "title")
    yield _text((frame.left, 46), orange, "start", "orange")
    yield _text((frame.left + 20 + 7 * len(orange), 46), blue, "start", "blue")
    yield _text(((frame.left + frame.right) / 2, frame.bottom + 42), below, "middle")
    values, texts = frame.y_scale.ticks()
    for y, text in zip(frame.y(np.array(values)), texts, strict=True):
        yield _line([(frame.left, y), (frame.right, y)], "grid")
        yield _text((frame.left - 8, y + 4), text, "end")
    values, texts = frame.x_scale.ticks()
    for x, value, text in zip(frame.x(np.array(values)), values, texts, strict=True):
        if value == int(value):
            yield _text((x, frame.bottom + 20), text, "middle")


def _text(at: Point, text: str, anchor: str, kind: str = "") -> str:
    where = f'x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" class="{kind}"'
    return f"<text {where}>{html.escape(text)}</text>"


def _line(points: Iterable[Point], kind: str) -> str:
    return f'<polyline points="{_path(points)}" class="{kind}"/>'


def _path(points: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
