"""The report on a telephone: 390 pixels wide, light and dark."""

import json
import re

import pytest

from evotune.algorithms.population_based import PopulationBasedTraining
from evotune.report.page import write
from helpers_population import SCHEDULED, train_population
from helpers_report import Recorded, definition, simulate
from report.test_page import browser, drawn

MEASURE = """<script>
  const report = () => {
    if (!document.documentElement.dataset.drawn) return setTimeout(report, 200);
    const found = {page: document.documentElement.scrollWidth, cut: []};
    for (const box of document.querySelectorAll(".scroll:not(.swiped)")) {
      const plot = box.querySelector(".main-svg");
      if (!plot) continue;
      const edge = box.getBoundingClientRect().right + 1;
      for (const text of box.querySelectorAll("svg text"))
        if (text.getBoundingClientRect().right > edge) found.cut.push(text.textContent);
    }
    const hint = (box) => getComputedStyle(box, "::before").content;
    found.hints = [...document.querySelectorAll(".swiped")].map(hint);
    parent.postMessage(found, "*");
  };
  report();
</script></body>"""
FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>:root { color-scheme: light dark }</style>
<iframe src="report.html" style="border: 0; width: 390px; height: 4000px"></iframe>
<script>addEventListener("message", (event) => {
  const note = document.createElement("pre");
  note.id = "noted"; note.textContent = JSON.stringify(event.data); document.body.append(note);
});</script>"""


def studies():
    members = train_population(PopulationBasedTraining(SCHEDULED, population_size=6), 36)
    return {
        "search": Recorded(definition(), simulate(60)),
        "population": Recorded(definition(SCHEDULED), members),
    }


def test_figures_with_panels_side_by_side_say_that_they_are_swiped(tmp_path):
    for name, study in studies().items():
        page = write(tmp_path / "r.html", study, plotly="cdn").read_text("utf-8")
        boxes = re.findall(r'<div class="scroll( swiped)?"><div class="plot( wide)?"', page)
        assert all(bool(swiped) == bool(wide) for swiped, wide in boxes)
        assert any(swiped for swiped, _ in boxes), name
        parallel = page.split('id="parallel"')[1].split("</section>")[0]
        assert ("swiped" in parallel) == (name == "search")  # the population has three axes


@pytest.mark.skipif(browser() is None, reason="needs Chromium or Chrome")
@pytest.mark.parametrize("name", ["search", "population"])
def test_nothing_is_cut_off(tmp_path, name):
    path = write(tmp_path / "report.html", studies()[name])
    path.write_text(path.read_text("utf-8").replace("</body>", MEASURE), "utf-8")
    (tmp_path / "frame.html").write_text(FRAME, "utf-8")  # no window is as narrow
    shown = drawn(tmp_path / "frame.html", tmp_path / "profile")
    found = json.loads(re.search(r'<pre id="noted">(.*?)</pre>', shown)[1])
    assert found["page"] <= 390
    assert found["cut"] == []
    assert found["hints"]
    assert all("swipe" in hint for hint in found["hints"])
