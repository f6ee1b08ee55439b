"""The page of a ranking: complete, safe, and with every figure."""

import json
import re

import numpy as np
import pytest

import evotune as et
from evotune.analysis.ranking import compare
from evotune.report.figures.ranking import anytime, critical_differences, ranks_over_time
from evotune.report.ranking_page import write_ranking
from helpers_ranking import runs


@pytest.fixture(scope="module")
def ranking():
    levels = {"good": 0.9, "fair": 0.88, "<b>poor</b>": 0.6}
    return compare({name: runs(level) for name, level in levels.items()})


def figures(page):
    found = re.findall(r'<script type="application/json" class="figure">(.*?)</script>', page)
    return [json.loads(text) for text in found]


def test_the_page_is_complete_in_itself(ranking, tmp_path):
    path = et.report.write_ranking(tmp_path / "deep" / "page.html", ranking)
    page = path.read_text("utf-8")
    assert len(figures(page)) == 3
    for key in ("differences", "ranks", "anytime-0", "pairs"):
        assert f'id="{key}"' in page
    assert "good has the best mean rank" in page
    assert "Critical difference" in page
    assert not re.search(
        r"(src=|href=\"[^#])", re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    )
    assert "<b>poor</b>" not in page
    assert "&lt;b&gt;poor&lt;/b&gt;" in page


def test_each_task_has_its_curves(tmp_path):
    tasks = {f"task {k}": {"a": runs(0.9, range(2)), "b": runs(0.8, range(2))} for k in range(14)}
    page = write_ranking(tmp_path / "a.html", compare(tasks)).read_text("utf-8")
    assert len(figures(page)) == 2 + 12
    assert "2 more tasks not drawn." in page


def test_bars_join_methods_that_cannot_be_told_apart(ranking):
    figure = critical_differences(ranking)
    bars = [t for t in figure.data if t.line.width == 6]
    places = [ranking.rank(name) for name in ranking.methods]
    joined = [[p for p in places if bar.x[0] < p < bar.x[1]] for bar in bars]
    assert places[0] + ranking.critical_difference < places[2]
    assert places[0] + ranking.critical_difference >= places[1]
    assert places[:2] in joined
    assert places not in joined
    texts = [a.text for a in figure.layout.annotations]
    assert f"good {ranking.rank('good'):.2f}" in texts


def test_curves_show_the_median_of_all_runs(ranking):
    task = ranking.tasks[0]
    lines = {trace.name: trace for trace in anytime(ranking, task).data if trace.name}
    assert set(lines) == {"good", "fair", "&lt;b&gt;poor&lt;/b&gt;"}
    assert np.allclose(lines["good"].y, np.median(task.curves["good"], axis=0))
    assert list(lines["good"].x) == list(ranking.points)


def test_ranks_are_drawn_best_on_top(ranking):
    figure = ranks_over_time(ranking)
    assert figure.layout.yaxis.autorange == "reversed"
    assert [trace.y[-1] for trace in figure.data] == [ranking.rank(m) for m in ranking.methods]
