"""The figure of the importance of genes: over the whole space, and for the best trials."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from evotune.analysis.data import Recorded
from evotune.analysis.importance import Importance
from evotune.analysis.text import label
from evotune.report.figures.theme import BLUE, GREY, ORANGE, faded, finish, opened, require
from evotune.space import Space

BARS_AT_MOST = 20


def importance(study: Recorded) -> go.Figure:
    """Draw how much each gene influences the first objective, the largest share on top.

    Blue is the importance over the whole space (fANOVA), strong for the gene alone, faded for its
    interactions; orange is the importance for being among the best tenth (PED-ANOVA). Grey bars
    are unreliable: there are too few trials, or the forest hardly predicts them. All genes of a
    chain of layers have a bar together, and the most important ones one of their own below it.

    Args:
        study: A study, or what `prepare` made of one.

    Raises:
        NoResultError: Too few trials are done, or none differs from the others in its result.
    """
    data = opened(study, "importance")
    whole = data.importance
    known = not math.isnan(whole.quality) and any(whole.shares.values())
    require(data, known, "importance", "ten done trials or more with results that differ")
    best = data.importance_by("ped_anova")
    names, groups = _rows(data.space, whole, best)
    total, alone, among = (
        [100 * sum(shares[gene] for gene in group) for group in groups]
        for shares in (whole.shares, whole.alone, best.shares)
    )
    together = [t - a for t, a in zip(total, alone, strict=True)]
    blue, orange = (BLUE, ORANGE) if whole.is_reliable else (GREY, GREY)
    figure = go.Figure(
        [
            _bars("over the space, by itself", alone, names, blue),
            _bars("over the space, with others", together, names, faded(blue, 0.35), total),
            _bars("among the best tenth", among, names, orange, among, group="best"),
        ]
    )
    return finish(
        figure,
        height=130 + 44 * len(names),
        barmode="stack",
        bargap=0.3,
        margin={"t": 36, "r": 50},
        legend={"traceorder": "normal"},
        xaxis={"title": {"text": "share of importance, %"}, "rangemode": "tozero"},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "autorange": "reversed",
            "tickcolor": "rgba(0,0,0,0)",
        },
    )


def _rows(space: Space, whole: Importance, best: Importance) -> tuple[list[str], list[list[str]]]:
    """Return the names of the bars and the genes of each; minor genes share one bar."""
    genes = whole.genes
    shown = [g for g in genes[:BARS_AT_MOST] if max(whole.shares[g], best.shares[g]) >= 0.005]
    names: list[str] = []
    groups: list[list[str]] = []
    for name in whole.by_entry(space):
        of_it = [gene for gene in shown if gene in space.entries[name]]
        if name in space.compounds and of_it:
            varied = [gene for gene in space.entries[name] if gene in whole.shares]
            names.append(f"<b>{label(name)}</b>, all {len(varied)} genes")
            groups.append(varied)
        names += map(label, of_it)
        groups += [[gene] for gene in of_it]
    inside = {gene for group in groups for gene in group}
    rest = [gene for gene in genes if gene not in inside]
    if rest:
        names.append(label(rest[0]) if len(rest) == 1 else f"{len(rest)} other genes")
        groups.append(rest)
    return names, groups


def _bars(
    name: str,
    values: Sequence[float],
    genes: Sequence[str],
    colour: str,
    written: Sequence[float] = (),
    *,
    group: str = "whole",
) -> go.Bar:
    text: Mapping[str, object] = {"text": [f"{value:.0f} %" for value in written]}
    return go.Bar(
        name=name,
        x=list(values),
        y=list(range(len(values))),
        orientation="h",
        offsetgroup=group,
        marker={"color": colour},
        textposition="outside",
        cliponaxis=False,
        customdata=list(genes),
        hovertemplate=f"%{{customdata}}, {name}: %{{x:.1f}} %<extra></extra>",
        **(text if written else {}),
    )
