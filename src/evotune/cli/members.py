"""Tables for a terminal: the members of population-based training."""

from collections.abc import Sequence

from rich.table import Table

from evotune.analysis.steps import Step
from evotune.cli.tables import param_columns, score_names, score_texts, state_text, table
from evotune.objectives import Objectives
from evotune.printing import number

#: Characters of the columns member, trial, epochs, state, weights and came.
OWN_COLUMNS = 56


def members_table(
    steps: Sequence[Step],
    objectives: Objectives,
    genes: Sequence[str],
    *,
    best: int | None = None,
) -> Table:
    """Return a table with one row per member: its latest step and the origin of its weights.

    Args:
        steps: The latest step of each member.
        objectives: Objectives of the study.
        genes: Names of the genes that are shown.
        best: Number of the trial to mark.
    """
    names = [f">{name}" for name in score_names(objectives)]
    made = table(
        ">member",
        ">trial",
        ">epochs",
        "state",
        *names,
        ">weights",
        "came",
        *param_columns(genes, (step.trial for step in steps)),
    )
    for step in steps:
        params = step.trial.params
        made.add_row(
            step.member,
            str(step.trial.number),
            step.epochs,
            state_text(step.trial),
            *score_texts(step.trial, objectives),
            donors_text(step),
            origin_text(step),
            *(number(params[gene]) if gene in params else "–" for gene in genes),
            style="bold" if step.trial.number == best else None,
        )
    return made


def donors_text(step: Step) -> str:
    """Return the numbers of a step's donors, or "fresh" if it has none."""
    return "+".join(map(str, step.trial.donors)) or "fresh"


def origin_text(step: Step) -> str:
    """Return the origin of a step: a new member, a continued one, or a child that replaced one."""
    if step.is_child:
        parents = "+".join(map(str, step.trial.parents))
        return f"child of {parents}" if parents else "child, new genes"
    return "went on" if step.trial.donors else "new"
