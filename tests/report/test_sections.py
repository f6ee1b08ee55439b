"""The sections of a study whose trials inherit weights say and draw what happened."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from evotune.algorithms.islands import Islands
from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.analysis.credit import UNCHANGED, Credit, operator_credits
from evotune.analysis.data import StudyData, prepare
from evotune.analysis.lineage import weights_line
from evotune.report.figures.curves import curves
from evotune.report.figures.family import inheritance, replacements
from evotune.report.figures.schedules import schedules
from evotune.report.findings import findings
from evotune.report.page import write
from evotune.report.sections import sections
from evotune.space import Choice, Float, Space
from evotune.trial import Origin, Trial
from helpers_population import SCHEDULED, step, train_population
from helpers_report import Recorded, definition, simulate

OWN = ["schedules", "curves", "replaced", "inheritance", "credit"]


def pbt(**options: object) -> PopulationBasedTraining:
    return PopulationBasedTraining(SCHEDULED, **({"population_size": 8} | options))


def prepared(trials: list[Trial], **changed: object) -> StudyData:
    return prepare(Recorded(definition(SCHEDULED, "max accuracy", name="pbt", **changed), trials))


@pytest.fixture(scope="module")
def data() -> StudyData:
    return prepared(train_population(pbt()))


def keys(data: StudyData) -> list[str]:
    return [section.key for section in sections(data)]


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


def segments(points: go.Scatter) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the ends of each line of a trace whose lines are parted by None."""
    at = list(zip(points.x, points.y, strict=True))
    return [(at[k], at[k + 1]) for k in range(0, len(at), 3)]


# -- which sections ------------------------------------------------------------------------------


def test_a_population_gets_its_sections_and_a_plain_search_does_not(data: StudyData) -> None:
    found = keys(data)
    assert [key for key in found if key in OWN] == OWN
    assert "family" not in found
    plain = keys(prepare(Recorded(definition(), simulate(120))))
    assert not set(plain) & set(OWN)
    assert "family" in plain


ODD = {
    "one generation": train_population(pbt(), 8),
    "still running": [replace(t, state="running", values=None) for t in train_population(pbt(), 8)],
    "failures": train_population(pbt(), 40, failing={9, 17, 18, 30}),
    "asynchronous": train_population(pbt(asynchronous=True), 40),
    "both children": train_population(pbt(both_children=True), 40),
    "two networks": train_population(pbt(networks=2), 40),
    "islands": train_population(Islands([pbt(), pbt(interval=2)], every=4), 60),
    "no members": [
        replace(t, origin=Origin()) for t in train_population(pbt(parents=1, exploit="binary"), 40)
    ],
    "no budget": [replace(t, budget=None, checkpoint=None) for t in train_population(pbt(), 24)],
}


@pytest.mark.parametrize("case", ODD)
def test_every_odd_population_has_a_report(tmp_path: Path, case: str) -> None:
    study = definition(SCHEDULED, "max accuracy", name=case)
    page = write(tmp_path / "report.html", Recorded(study, ODD[case])).read_text("utf-8")
    assert f"<h1>{case}</h1>" in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    space = Space({name: Float(1e-4, 1, log=True), "momentum": Choice("a", name)})
    trials = []
    for trial in train_population(pbt(), 32):
        is_child = trial.origin.mutated is not None
        origin = replace(trial.origin, mutated=(name,) if is_child else None)
        params = {name: trial.params["lr"], "momentum": name}
        trials.append(replace(trial, params=params, genome=params, origin=origin))
    path = write(tmp_path / "r.html", Recorded(definition(space, f"max {name}"), trials))
    assert "<img" not in path.read_text("utf-8")


# -- schedules and curves ------------------------------------------------------------------------


def test_the_orange_schedule_is_the_best_trials_line(data: StudyData) -> None:
    assert data.best is not None
    line = weights_line(data.trials, data.best.number)
    best = [t for t in schedules(data).data if t.name == "best trial"]
    lr, momentum = best
    assert list(lr.x) == [epoch for k in range(len(line)) for epoch in (k, k + 1)]
    assert list(lr.y) == [t.params["lr"] for t in line for _ in range(2)]
    assert list(momentum.y) == [t.params["momentum"] for t in line for _ in range(2)]


def test_a_gene_with_a_log_scale_has_a_log_axis(data: StudyData) -> None:
    layout = schedules(data).layout
    assert (layout.yaxis.type, layout.yaxis2.type) == ("log", "linear")


def test_the_lines_of_all_members_at_the_end_are_grey(data: StudyData) -> None:
    last = [t for t in data.trials if t.origin.generation == 7]
    assert {line[-1].trial.number for line in data.surviving_lines} == {t.number for t in last}
    others = trace(schedules(data), "other members at the end")
    assert list(others.x).count(None) == len(last)


def test_curves_join_each_trial_with_its_donor() -> None:
    trials = [
        step(0, 0.1),
        step(1, 0.2, member=1),
        step(2, 0.5, weights=1, generation=1, replaces=0),
        step(3, 0.4, weights=1, generation=1, member=1),
    ]
    figure = curves(prepared(trials))
    points = trace(figure, "all members")
    edges = list(zip(points.x, points.y, strict=True))
    for start, end in (((1, 0.2), (2, 0.5)), ((1, 0.2), (2, 0.4))):
        assert edges[edges.index(end) - 1] == start
    best = trace(figure, "line of the best trial")
    assert (list(best.x), list(best.y)) == ([1, 2], [0.2, 0.5])


# -- families ------------------------------------------------------------------------------------

TREE = [
    step(0, 0.1),
    step(1, 0.2, member=1),
    step(2, 0.3, member=2),
    step(3, 0.6, weights=2, parents=(0, 1), generation=1, member=0, replaces=0, mutated=["lr"]),
    step(4, 0.3, weights=1, parents=(1,), generation=1, member=1),
    step(5, 0.2, weights=2, parents=(2,), generation=1, member=2),
]


def test_arrows_lead_from_the_donor_to_the_place_that_a_child_takes() -> None:
    figure = replacements(prepared([*TREE, step(6, 0.9, weights=3, parents=(3,), generation=2)]))
    best = trace(figure, "line of the best trial")
    assert segments(best) == [((0, 2), (1, 0)), ((1, 0), (2, 0))]
    heads = [size > 0 for size in best.marker.size]
    assert heads == [False, True, False, False, False, False]  # trial 6 just went on
    assert not trace(figure, "a child takes the place").x


def test_cells_hold_the_results_by_generation_and_member() -> None:
    cells = replacements(prepared(TREE)).data[0]
    assert list(cells.x) == [0, 1]
    assert np.round(cells.z, 2).tolist() == [[0.1, 0.6], [0.2, 0.3], [0.3, 0.2]]
    assert "replaces trial 0" in cells.customdata[0][1]
    assert "genes from trial 0: 0.1<br>" in cells.customdata[0][1]


def test_the_tree_tells_weights_from_genes() -> None:
    figure = inheritance(prepared(TREE))
    assert segments(trace(figure, "genes")) == [((1, 0), (2, 0)), ((1, 1), (2, 0))]
    assert segments(trace(figure, "weights")) == [((1, 2), (2, 0))]
    assert trace(figure, "genes").line.dash == "dot"
    assert trace(figure, "weights").line.dash is None


def test_a_large_family_is_cut_but_keeps_its_line_of_weights(
    data: StudyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[inheritance.__module__], "ANCESTORS_AT_MOST", 3)
    monkeypatch.setattr("evotune.report.sections.ANCESTORS_AT_MOST", 3)
    assert data.best is not None
    line = weights_line(data.trials, data.best.number)
    orange = trace(inheritance(data), "weights of the best trial")
    assert len(segments(orange)) == len(line) - 1
    section = next(s for s in sections(data) if s.key == "inheritance")
    kept = {t.number for t in line} | {p for t in line for p in t.parents}
    assert len(section.figure.data[3].x) + 1 == len(kept) < len(data.family_of_members)
    assert "only those are drawn that trained its weights" in section.notes[0]


def test_a_large_population_is_drawn_in_part_with_the_whole_line_of_the_best() -> None:
    study = prepared(train_population(pbt(population_size=150), 150 * 45))
    assert study.best is not None
    made = {s.key: s for s in sections(study)}
    assert max(s.figure.layout.height for s in made.values() if s.figure) < 900
    rows = made["replaced"].figure.data[0].z
    assert np.shape(rows) == (100, 40)
    born = [t for t in weights_line(study.trials, study.best.number) if t.origin.generation > 4]
    orange = trace(made["replaced"].figure, "line of the best trial")
    assert len(segments(orange)) == len(born) - 1
    for key, note in (("schedules", "the 64 best"), ("curves", "6,750 trials 3,000 are drawn")):
        assert any(note in line for line in made[key].notes)


# -- credit --------------------------------------------------------------------------------------


def credit_of(trials: list[Trial]) -> dict[str, Credit]:
    return {row.kind: row for row in operator_credits(prepared(trials))}


def test_credit_is_split_by_what_was_done() -> None:
    child = {"weights": 2, "generation": 1, "replaces": 0}
    found = credit_of(
        [
            *TREE[:3],
            step(3, 0.5, **child, parents=(0, 1), mutated=["lr", "momentum"]),
            step(4, 0.1, **child, parents=(0, 1), mutated=["lr"]),
            step(5, 0.4, **child, parents=(0, 1), mutated=[]),
            step(6, 0.4, **child, parents=(1,), mutated=["lr"]),
            step(7, None, **child, parents=(1,), mutated=["lr"]),
            step(8, 0.4, weights=2, generation=1, parents=(2,), member=2),
        ]
    )
    assert {kind: (row.trials, row.failed, row.better) for kind, row in found.items()} == {
        UNCHANGED: (1, 0, 1),
        "child of one parent, mutated": (2, 1, 1),
        "child of two parents, mutated": (2, 0, 1),
        "child of two parents, not mutated": (1, 0, 1),
        "mutated lr": (4, 1, 2),
        "mutated momentum": (1, 0, 1),
    }
    assert found["mutated momentum"].gain == pytest.approx(0.2)
    assert found["mutated momentum"].advantage == pytest.approx(0.1)  # the others gained 0.1


def test_the_gain_is_compared_within_the_generation() -> None:
    """Early children gain much and late ones little: that is training, not the operator."""
    trials = [step(0, 0.1)]
    for k, score in enumerate((0.5, 0.7, 0.8, 0.85), start=1):
        trials += [
            step(2 * k - 1, score, weights=2 * (k - 1), generation=k),
            step(2 * k, score, weights=2 * (k - 1), generation=k, member=1, replaces=0),
        ]
    found = credit_of(trials)
    assert found[UNCHANGED].gain > 0.1
    assert found[UNCHANGED].advantage == pytest.approx(0.0)


def test_a_metric_that_is_minimised_gains_by_falling() -> None:
    trials = [
        replace(step(0, 0.5), values=(0.5,), metrics={"loss": 0.5}),
        replace(step(1, 0.5, weights=0, generation=1), values=(0.2,), metrics={"loss": 0.2}),
    ]
    study = prepare(Recorded(definition(SCHEDULED, "min loss"), trials))
    [row] = operator_credits(study)
    assert (row.better, row.gain) == (1, pytest.approx(0.3))


def test_small_counts_are_marked_and_have_no_interval(data: StudyData) -> None:
    section = next(s for s in sections(prepared(TREE)) if s.key == "credit")
    assert any(row[1].small == ("few",) for row in section.table.rows)
    assert any("fewer than 10 trials" in note for note in section.notes)
    assert np.isnan(credit_of(TREE)["mutated lr"].low)


# -- what the older sections make of it ------------------------------------------------------------


def test_trials_are_compared_at_equal_epochs_only(data: StudyData) -> None:
    compared = data.comparable
    ages = np.array([s.end for s in data.steps])
    for age in set(ages):
        scores = compared.first_scores[ages == age]
        assert (scores.min(), scores.max()) == (0, 100)
        best = np.argmax(data.first_scores[ages == age])
        assert scores[best] == 100
    assert compared.importance is data.importance


def test_importance_does_not_mistake_training_time_for_a_gene() -> None:
    """A gene that drifts with the epochs and does nothing must not explain the result."""
    rng = np.random.default_rng(0)
    trials = []
    for generation in range(12):
        for member in range(8):
            number = 8 * generation + member
            lr = 0.9 * 0.5**generation * (1 + 0.1 * rng.random())
            weights = number - 8 if generation else None
            score = 1 - 0.7**generation + 0.05 * rng.random()
            trials.append(
                step(number, score, weights=weights, generation=generation, member=member, lr=lr)
            )
    assert prepared(trials).importance.quality < 0.2


def test_the_best_so_far_never_gets_worse_where_islands_are_not_in_step() -> None:
    study = prepared(ODD["islands"])
    groups, places = study.best_by_group
    assert list(groups) == sorted(set(groups))
    scores = study.first_scores[places]
    assert list(scores) == sorted(scores)


def test_a_best_that_came_early_is_noticed() -> None:
    trials = [step(0, 0.9)]
    trials += [step(k, 0.5, weights=k - 1, generation=k) for k in range(1, 8)]
    text = "\n".join(findings(prepared(trials)))
    assert "The best result came after 1 of 8 epochs" in text
    assert "one step of a member's training" in text
    assert "more trials are likely" not in text


def test_the_page_says_how_long_a_member_trained(data: StudyData, tmp_path: Path) -> None:
    page = write(tmp_path / "a.html", Recorded(data.definition, data.trials)).read_text("utf-8")
    assert re.search(r"epochs of a member</span><b>8</b><small>64 of all", page)
    assert "<th>weights from</th>" in page
