"""What the report shows of several objectives."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from evotune.analysis.data import StudyData, prepare
from evotune.analysis.volumes import volumes
from evotune.errors import NoResultError
from evotune.evolution.hypervolume import hypervolume as volume_of
from evotune.report.figures.front import (
    front,
    hypervolume,
)
from evotune.report.sections import sections
from evotune.space import Float, Space
from evotune.trial import Origin, Trial
from helpers_report import Recorded, definition, scatter

SPACE = Space(x=Float(0, 1))
#: On the front: 0, 1, 2, 3; knee: 1; dominated: 4; infeasible: 5.
POINTS = [(0.0, 10.0), (1.0, 2.0), (6.0, 1.0), (10.0, 0.0), (7.0, 7.0), (0.5, 0.5)]


def study(
    points: list[tuple[float, ...]], objectives: list[str], broken: tuple[int, ...] = ()
) -> StudyData:
    trials: list[Trial] = [
        replace(
            t, values=p, violation=float(t.number in broken), origin=Origin(generation=t.number)
        )
        for t, p in zip(scatter(SPACE, len(points)), points, strict=True)
    ]
    return prepare(Recorded(definition(SPACE, objectives), trials))


@pytest.fixture
def data() -> StudyData:
    return study(POINTS, ["min a", "max b"], broken=(5,))


def keys(data: StudyData) -> set[str]:
    return {section.key for section in sections(data)}


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


def points_of(trace: go.Scatter) -> list[tuple[float, float]]:
    return list(zip(trace.x, trace.y, strict=True))


def test_front_knee_dominated_and_infeasible_are_told_apart(data: StudyData) -> None:
    figure = front(data)
    assert points_of(trace(figure, "Pareto front")) == [(0, -10), (1, -2), (6, -1), (10, 0)]
    assert points_of(trace(figure, "knee")) == [(1, -2)]
    assert points_of(trace(figure, "dominated")) == [(7, -7)]
    assert points_of(trace(figure, "breaks a constraint")) == [(0.5, -0.5)]
    assert trace(figure, "breaks a constraint").marker.symbol == "circle-open"


def test_three_objectives_are_drawn_in_pairs_with_one_legend() -> None:
    points = [(a, b, 2.0 - a - b) for a, b in np.random.default_rng(0).random((30, 2))]
    figure = front(study(points, ["min a", "min b", "min c"]))
    fronts = [t for t in figure.data if t.name == "Pareto front"]
    assert [t.mode for t in fronts] == ["markers"] * 3
    assert [t.showlegend for t in fronts] == [True, False, False]
    assert {figure.layout[f"xaxis{k}"].title.text for k in ("", 2, 3)} == {
        "a (lower is better)",
        "b (lower is better)",
    }


def test_two_trials_have_no_knee() -> None:
    data = study(POINTS[:2], ["min a", "min b"])
    assert data.knee is None
    assert "knee" not in {t.name for t in front(data).data}


def test_the_hypervolume_is_that_of_the_front_so_far(data: StudyData) -> None:
    groups, shares = volumes(data)
    reference = [11.0, 11.0]
    values = np.array(POINTS[:5])
    whole = volume_of(values, reference)
    expected = [volume_of(values[: k + 1], reference) / whole for k in range(5)]
    assert groups.tolist() == [0, 1, 2, 3, 4]
    assert shares == pytest.approx(expected)
    [line] = hypervolume(data).data
    assert line.y[-1] == 100.0


def test_the_reference_point_is_stated_in_the_users_sign(data: StudyData) -> None:
    section = {s.key: s for s in sections(data)}["hypervolume"]
    assert "reference point a = 11, b = -11" in section.method


def test_scales_far_apart_do_not_matter(data: StudyData) -> None:
    points = [(a * 1e-200, b * 1e200) for a, b in POINTS]
    wide = study(points, ["min a", "max b"], broken=(5,))
    assert volumes(wide)[1] == pytest.approx(volumes(data)[1])
    assert wide.knee == data.knee


def test_where_nothing_is_feasible_there_is_no_hypervolume() -> None:
    data = study(POINTS, ["min a", "min b"], broken=tuple(range(6)))
    assert "front" in keys(data)
    assert "hypervolume" not in keys(data)
    with pytest.raises(NoResultError, match="a trial that keeps all constraints"):
        hypervolume(data)


def test_constant_objectives_are_drawn() -> None:
    data = study([(1.0, 0.0)] * 5, ["min a", "min b"])
    assert {"front", "hypervolume"} <= keys(data)
    assert volumes(data)[1].tolist() == [1.0] * 5


def test_one_objective_has_no_front() -> None:
    data = study([(1.0,), (2.0,)], ["min a"])
    assert not {"front", "hypervolume"} & keys(data)
    with pytest.raises(NoResultError, match="it needs a second objective"):
        front(data)


def test_the_legend_has_a_colour_of_its_own_for_dominated_trials():
    shown = front(study([(0.0, 1.0), (1.0, 0.0), (2.0, 2.0)], ["min a", "min b"]))
    names = [t.name for t in shown.data if t.showlegend is not False]
    assert names.count("dominated") == 1
    [in_legend] = [t for t in shown.data if t.name == "dominated" and t.showlegend is not False]
    assert isinstance(in_legend.marker.color, str)  # several colours are black in a legend
