"""Figures of a page take little room, and show what they would show else."""

import json
import re
from base64 import b64decode

import numpy as np
import plotly.graph_objects as go
import pytest

from evotune.report.page import write
from evotune.report.templating import _figure_json
from helpers_report import Recorded, definition, simulate
from report.test_page import HOSTILE


def drawn(figure):
    return json.loads(str(_figure_json(figure)))["data"]


def numbers(part):
    return np.frombuffer(b64decode(part["bdata"]), part["dtype"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.random.default_rng(0).normal(size=50), "f4"),
        (np.geomspace(1e-9, 1e9, 50), "f4"),
        ([*np.linspace(0, 1, 50), None, 0.5], "f4"),
        (1e9 + np.linspace(0, 1, 50), "f8"),  # all the same in half the digits
        (np.geomspace(1e-60, 1.0, 50), "f8"),  # the smallest would be zero
        (np.geomspace(1.0, 1e300, 50), "f8"),  # the largest would be infinite
        (np.full(50, np.nan), "f8"),
    ],
)
def test_numbers_have_half_the_digits_where_no_eye_sees_it(values, kind):
    [trace] = drawn(go.Figure(go.Scatter(x=np.arange(len(values)), y=values)))
    assert trace["y"]["dtype"] == kind
    exact, shown = np.array(values, dtype=float), numbers(trace["y"]).astype(float)
    assert np.array_equal(np.isnan(exact), np.isnan(shown))
    np.testing.assert_allclose(shown, exact, rtol=1e-6)


def test_arrays_that_traces_share_stand_in_the_page_once():
    y, x = np.random.default_rng(0).normal(size=(2, 80))
    first, second = drawn(go.Figure([go.Scatter(x=x, y=y), go.Scatter(x=y, y=y)]))
    assert (second["y"], isinstance(second["x"], dict)) == (0, True)
    assert len(numbers(first["y"])) == 80


def test_breaks_of_hovers_are_not_written_out_and_all_else_is():
    [trace] = drawn(go.Figure(go.Scatter(y=[1], customdata=["<b>a</b><br>" + HOSTILE])))
    text = str(_figure_json(go.Figure(go.Scatter(y=[1], customdata=[HOSTILE, "<br>", "<!--"]))))
    assert set(re.findall("<.{0,3}", text)) == {"<br>"}
    assert trace["customdata"] == ["<b>a</b><br>" + HOSTILE]


def test_a_page_has_no_array_twice(tmp_path):
    page = write(tmp_path / "r.html", Recorded(definition(), simulate(200)), plotly="cdn")
    slices = page.read_text("utf-8").split('id="slices"')[1].split("</section>")[0]
    traces = json.loads(re.search(r'class="figure">(.*?)</script>', slices)[1])["data"]
    for name in ("x", "y", "customdata"):
        long = [json.dumps(t[name]) for t in traces if len(json.dumps(t.get(name))) > 100]
        assert len(long) == len(set(long)), name
