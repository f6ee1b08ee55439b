"""The picture of a schedule."""

from typing import Any

from plotly.subplots import make_subplots

from evotune.training.schedules import Schedule, is_number

#: Height of one gene's panel, and of what stands around all panels, in pixels.
_PANEL = 150
_AROUND = 110


def figure(schedule: Schedule) -> Any:
    """Return a Plotly figure with one panel a gene: its value as a step line over the epochs."""
    names = schedule.names
    drawn = make_subplots(rows=max(len(names), 1), cols=1, shared_xaxes=True)
    for row, name in enumerate(names, 1):
        epochs, values = _steps(schedule, name)
        known = [value for value in values if value is not None]
        numeric = all(is_number(value) for value in known)
        if not numeric:
            values = [None if value is None else str(value) for value in values]
        drawn.add_scatter(x=epochs, y=values, mode="lines", name=name, row=row, col=1)
        log = numeric and name in schedule.log
        kind = "log" if log else "linear" if numeric else "category"
        drawn.update_yaxes(title_text=name, type=kind, row=row, col=1)
    drawn.update_xaxes(title_text="epoch", row=max(len(names), 1), col=1)
    found_by = [schedule.study] if schedule.study else []
    found_by += [f"trial {schedule.trial}"] if schedule.trial is not None else []
    return drawn.update_layout(
        template="plotly_white",
        height=_PANEL * len(names) + _AROUND,
        showlegend=False,
        title_text=", ".join(["Schedule", *found_by]),
    )


def _steps(schedule: Schedule, name: str) -> tuple[list[int], list[Any]]:
    """Return the corners of a gene's step line; None breaks it where the gene is dormant."""
    epochs: list[int] = []
    values: list[Any] = []
    for segment, span in zip(schedule.segments, schedule.spans, strict=True):
        epochs += span
        values += [segment.params.get(name)] * 2
    return epochs, values
