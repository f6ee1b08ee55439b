"""A study in one small SVG: best so far with spread, and the family of the best trial.

It needs no browser and no image library.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evotune.analysis.data import Recorded, StudyData, prepare
from evotune.analysis.generations import quantiles
from evotune.analysis.scales import Floats, Scale
from evotune.checks import write_whole
from evotune.printing import number, shorten
from evotune.report.templating import render_picture

_WIDTH, _HEIGHT = 920, 360

Numbers = Floats | npt.NDArray[np.int64]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text; positions are in pixels."""

    x: str
    y: str
    text: str
    anchor: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line through points, or the area inside it."""

    points: str
    kind: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class _Dot:
    """A circle."""

    x: str
    y: str
    radius: int
    kind: str


Shape = _Text | _Line | _Dot


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


def write_picture(path: str | Path, study: Recorded) -> Path:
    """Write a picture of a study as SVG, 920 by 360 pixels.

    Args:
        path: The file to write.
        study: The study, or another record of its definition and trials.

    Returns:
        The path that was written.

    Raises:
        StudyError: The path cannot be written.
    """
    data = prepare(study)
    return write_whole(
        path,
        render_picture(
            width=_WIDTH,
            height=_HEIGHT,
            title=f"{data.definition.name}: {data.objectives}",
            shapes=_drawn(data),
        ),
    )


def _drawn(data: StudyData) -> Iterator[Shape]:
    if not data.done:
        yield _text((_WIDTH / 2, _HEIGHT / 2), "No trial is done yet", "middle")
    elif len(data.family()) < 2:
        yield from _progress(data, 896.0)
    else:
        yield from _progress(data, 440.0)
        yield from _family(data, 530.0)


def _progress(data: StudyData, right: float) -> Iterator[Shape]:
    x, bands = quantiles(data.done_groups, data.first_scores, (0.1, 0.25, 0.5, 0.75, 0.9))
    frame = _Frame(64.0, right, Scale(float(x[0]), float(x[-1])), data.score_scale[0])
    title = f"How {shorten(data.objective.metric, 30)} improved"
    legend = ("best so far", "median, middle 50 % and 80 %")
    yield from _axes(frame, (title, *legend, data.groups.name))
    for low, high, kind in ((0, 4, "wide"), (1, 3, "narrow")):
        outline = [*frame.points(x, bands[low]), *frame.points(x, bands[high])[::-1]]
        yield _Line(_path(outline), kind, filled=True)
    yield _line(frame.points(x, bands[2]), "median")
    groups, places = data.best_by_group
    best = frame.points(groups, data.first_scores[places])
    corners = [best[0]]
    for point in best[1:]:
        corners += [(point[0], corners[-1][1]), point]
    yield _line(corners, "best")
    reached = number(float(data.first_scores[data.ranking[0]]))
    yield _text((best[-1][0], best[-1][1] - 9), reached, "end", "orange")


def _family(data: StudyData, left: float) -> Iterator[Shape]:
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
        kind, radius = "on-path" if n in path else "ancestor", 7 if n == line[-1].number else 4
        yield _Dot(f"{x:.1f}", f"{y:.1f}", radius, kind)


def _axes(frame: _Frame, words: tuple[str, str, str, str]) -> Iterator[Shape]:
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


def _text(at: Point, text: str, anchor: str, kind: str = "") -> Shape:
    return _Text(f"{at[0]:.1f}", f"{at[1]:.1f}", text, anchor, kind)


def _line(points: Iterable[Point], kind: str) -> Shape:
    return _Line(_path(points), kind)


def _path(points: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
