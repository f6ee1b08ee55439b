"""Axes: where they have ticks."""

import pytest

import evotune as et
from evotune.analysis.scales import gene_scale


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 3), (2, 7), (1, 12), (8, 512), (1, 10**6)])
def test_whole_numbers_have_ticks_at_whole_numbers_only(low, high, log):
    scale = gene_scale(et.Int(low, high, log=log))
    values, texts = scale.ticks()
    assert all(value == round(value) and low <= value <= high for value in values)
    assert len(values) >= min(2, high - low)
    assert [float(text) for text in texts] == values
    axis = scale.axis()
    if high - low <= 6:  # else Plotly's own ticks, of which there are fewer than whole numbers
        assert axis.get("dtick") == 1 or axis["tickvals"] == values


def test_other_numbers_have_ticks_between_whole_ones():
    values, _ = gene_scale(et.Float(1.0, 2.0, log=True)).ticks()
    assert any(value != round(value) for value in values)
    assert "dtick" not in gene_scale(et.Float(1.0, 2.0)).axis()
