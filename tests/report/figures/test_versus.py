"""Whether evolution helped: the verdict stands on top, the runs are drawn in pairs."""

from pathlib import Path

import pytest

from evotune.analysis.comparison import Comparison
from evotune.analysis.data import prepare
from evotune.errors import NoResultError
from evotune.report.figures.versus import versus
from evotune.report.page import write
from evotune.report.sections import sections
from helpers_report import Recorded, definition, simulate

HELPED = Comparison(
    "accuracy",
    "max",
    {
        "evolution": (0.95, 0.96, 0.955, 0.962, 0.951, 0.953),
        "random search": (0.91, 0.92, 0.93, 0.92, 0.915, 0.925),
    },
    are_paired=True,
    epochs={"evolution": 160.0, "random search": 160.0},
)


def test_the_verdict_stands_in_the_section_and_on_top(tmp_path: Path) -> None:
    verdict = "Evolution is better than random search (Wilcoxon signed-rank test, p = "
    page = write(tmp_path / "a.html", Recorded(definition(), simulate(40)), HELPED).read_text(
        "utf-8"
    )
    top, section = page.index(verdict), page.index('id="comparison"')
    assert top < section < page.index(verdict, section) < page.index('id="progress"')
    assert "Whether evolution helped" in page
    assert "0.95, 0.96, 0.955, 0.962, 0.951, 0.953" in page


def test_without_a_comparison_nothing_is_claimed(tmp_path: Path) -> None:
    page = write(tmp_path / "a.html", Recorded(definition(), simulate(40))).read_text("utf-8")
    assert "Whether evolution helped" not in page
    assert "random search" not in page[page.index("<main>") : page.index('id="progress"')]


def test_one_run_allows_no_verdict() -> None:
    one = Comparison("a", "max", {"evolution": (1.0,), "random search": (0.5,)}, True, {})
    with pytest.raises(NoResultError, match="needs two runs or more of two searches or more, got"):
        versus(one)
    data = prepare(Recorded(definition(), simulate(40)))
    assert "comparison" not in [s.key for s in sections(data, one)]


def test_runs_of_one_seed_are_joined() -> None:
    lines, evolution, random = versus(HELPED).data
    assert list(evolution.y)[:4] == [0.95, 0.96, 0.955, 0.962]
    assert list(lines.y)[:3] == [0.95, 0.91, None]
    assert list(lines.x)[:2] == [evolution.x[0], random.x[0]]
    assert len(set(evolution.x)) == 6  # equal results can be told apart
    unpaired = Comparison("a", "max", {"x": (1.0, 2.0), "y": (1.0, 2.0, 3.0)}, False, {})
    assert [len(t.x) for t in versus(unpaired).data] == [2, 3]
