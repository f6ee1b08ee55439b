"""The picture of a schedule."""

from collections.abc import Collection, Mapping
from typing import Any

from plotly.subplots import make_subplots

from evotune.checks import is_number

#: The corners of a gene's step line: epochs, and values with None where the gene is dormant.
Line = tuple[list[int], list[Any]]

#: Height of one gene's panel, and of what stands around all panels, in pixels.
_PANEL = 150
_AROUND = 110


def figure(title: str, lines: Mapping[str, Line], log: Collection[str]) -> Any:
    """Return a Plotly figure with one panel a gene: its value as a step line over the epochs.

    Args:
        title: What stands above all panels.
        lines: The step line of each gene.
        log: Names of the genes with a logarithmic axis.
    """
    names = list(lines)
    drawn = make_subplots(rows=max(len(names), 1), cols=1, shared_xaxes=True)
    for row, (name, (epochs, values)) in enumerate(lines.items(), 1):
        numeric = all(is_number(value) for value in values if value is not None)
        if not numeric:
            values = [None if value is None else str(value) for value in values]
        drawn.add_scatter(x=epochs, y=values, mode="lines", name=name, row=row, col=1)
        kind = "linear" if numeric else "category"
        if numeric and name in log:
            kind = "log"
        drawn.update_yaxes(title_text=name, type=kind, row=row, col=1)
    drawn.update_xaxes(title_text="epoch", row=max(len(names), 1), col=1)
    return drawn.update_layout(
        template="plotly_white",
        height=_PANEL * len(names) + _AROUND,
        showlegend=False,
        title_text=title,
    )
