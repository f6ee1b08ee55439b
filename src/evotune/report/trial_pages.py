"""A page for each trial, as files in a folder beside the report that leads to them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from evotune.analysis.data import StudyData
from evotune.analysis.reports import curve_of
from evotune.analysis.text import duration
from evotune.checks import write_whole
from evotune.printing import number, shorten
from evotune.report.parts import Cell, Part, Row, Table, TrialPage
from evotune.report.tables import drawn, measured, moment, pairs, trace_of
from evotune.report.templating import own_file, render_trial
from evotune.trial import Trial

#: The file of styles that all pages share.
STYLE = "style.css"
#: Of the curve of one metric.
_CORNERS_AT_MOST = 300
#: Children in the table of a trial, and parents beside its genes.
CHILDREN_AT_MOST, _BESIDE = 200, 4


def folder_of(report: Path) -> Path:
    """Return the folder of the pages of a report: ``report.trials`` beside ``report.html``."""
    return report.with_name(f"{report.stem}.trials")


def address_of(report: Path) -> str:
    """Return the address of that folder on the report."""
    return quote(folder_of(report).name)


def write_pages(data: StudyData, report: Path) -> None:
    """Write a page for each trial of a study.

    Args:
        data: The study.
        report: The file of its report.

    Raises:
        StudyError: A file cannot be written.
    """
    folder = folder_of(report)
    family = _Family(data)
    write_whole(folder / STYLE, own_file("page.css"))
    for place in range(len(data.trials)):
        page = _page(data, place, family, f"../{quote(report.name)}")
        write_whole(folder / f"{page.number}.html", render_trial(page, STYLE))


class _Family:
    """The trials by number, and those that come from each."""

    def __init__(self, data: StudyData) -> None:
        self.known = {trial.number: trial for trial in data.trials}
        self.params = {trial.number: data.params(trial) for trial in data.trials}
        self.places = {int(k): place for place, k in enumerate(data.ranking, start=1)}
        self.done = {trial.number: k for k, trial in enumerate(data.done)}
        self._children: dict[int, list[Trial]] = {}
        for trial in data.trials:
            for origin in self.origins(trial):
                self._children.setdefault(origin, []).append(trial)

    @staticmethod
    def origins(trial: Trial) -> Mapping[int, str]:
        """Return the numbers of the trials that a trial comes from, and what it has from each."""
        words: dict[int, list[str]] = {}
        repeated = () if trial.repeat_of is None else (trial.repeat_of,)
        given = (("genes", trial.parents), ("weights", trial.donors), ("repeats it", repeated))
        for what, numbers in given:
            for origin in dict.fromkeys(numbers):
                words.setdefault(origin, []).append(what)
        return {origin: " and ".join(what) for origin, what in words.items()}

    def children(self, trial: Trial) -> Sequence[Trial]:
        """Return the trials that come from a trial, by number."""
        return self._children.get(trial.number, ())

    def rank(self, trial: Trial) -> int | None:
        """Return the place of a trial among all, from 1; None where it has none."""
        return self.places.get(self.done.get(trial.number, -1))


def _page(data: StudyData, place: int, family: _Family, report: str) -> TrialPage:
    trial = data.trials[place]
    links = [Cell("All trials", link=f"{report}#table")]
    for words, other in (("← trial", place - 1), ("trial →", place + 1)):
        if 0 <= other < len(data.trials):
            near = data.trials[other].number
            text = words.replace("trial", f"trial {near}")
            links.append(Cell(text, link=f"{near}.html"))
    return TrialPage(
        trial.number,
        f"Trial {trial.number}: {trial.state}",
        data.definition.name,
        tuple(links),
        dict(_facts(data, trial, family)),
        tuple(_parts(data, trial, family)),
    )


def _facts(data: StudyData, trial: Trial, family: _Family) -> Iterator[tuple[str, str]]:
    for objective, score in zip(
        data.objectives.objectives, _scores(data, trial, family), strict=False
    ):
        yield objective.metric, score
    rank = family.rank(trial)
    if rank is not None:
        yield "rank", f"{rank:,} of {len(data.ranking):,}"
    if trial.violation > 0:
        yield "constraints", "it breaks one"
    if data.groups.are_generations and trial.origin.generation is not None:
        yield "generation", str(trial.origin.generation)
    if trial.budget is not None:
        yield "budget", f"{trial.budget:g}"
    if data.inherits:
        yield "epochs of its weights", data.step_of[trial.number].epochs
    yield "seed", str(trial.seed)
    if trial.started is not None:
        yield "started", moment(trial.started)
        if trial.ended is not None:
            yield "took", duration(trial.ended - trial.started)


def _scores(data: StudyData, trial: Trial, family: _Family) -> list[str]:
    k = family.done.get(trial.number)
    return [] if k is None else [number(float(score), 5) for score in data.scores[k]]


def _parts(data: StudyData, trial: Trial, family: _Family) -> Iterator[Part]:
    if trace := trace_of(trial):
        yield Part("Why it failed", body=trace)
    parents = [family.known[n] for n in family.origins(trial) if n in family.known]
    caption = "The genes that were active."
    if parents:
        caption += " Beside them those of the trials that it comes from; what differs is bold."
    genes = _genes(data, family, trial, parents[:_BESIDE])
    yield Part("Params", caption, (genes,))
    if tables := measured(trial):
        yield Part("What it measured", tables=tables)
    metrics = dict.fromkeys(name for report in trial.reports for name in report if name != "step")
    made = (drawn(curve_of(trial, name), name, _CORNERS_AT_MOST) for name in metrics)
    curves = tuple(curve for curve in made if curve)
    if curves:
        yield Part("What it reported", "From its first report to its last.", curves=curves)
    if origins := family.origins(trial):
        rows = [
            _relative(data, family, other, what, trial, family.known.get(other))
            for other, what in origins.items()
        ]
        yield Part("Where it comes from", tables=(_relatives(data, "has from it", rows),))
    if children := family.children(trial):
        shown = children[:CHILDREN_AT_MOST]
        rows = [
            _relative(data, family, t.number, family.origins(t)[trial.number], t, trial)
            for t in shown
        ]
        few = f"The first {len(shown)} of {len(children):,}. " if shown != children else ""
        yield Part(
            "What came of it",
            f"{few}Trials that have genes or weights of this one, or repeat it.",
            (_relatives(data, "has from this one", rows),),
        )


def _genes(data: StudyData, family: "_Family", trial: Trial, parents: Sequence[Trial]) -> Table:
    """Return the params of a trial beside those of others; what differs there is bold."""
    own, others = family.params[trial.number], [family.params[t.number] for t in parents]
    if not parents:
        return pairs("gene", own, 6)
    rows: list[Row] = []
    for name in data.space.entries:
        if any(name in params for params in (own, *others)):
            cells = [
                Cell(
                    number(params[name], 6) if name in params else "–",
                    strong=params.get(name) != own.get(name),
                )
                for params in others
            ]
            rows.append((name, number(own[name], 6) if name in own else "–", *cells))
    head = ("gene", "value", *(f"in trial {parent.number}" for parent in parents))
    return Table(head, tuple(rows))


def _relatives(data: StudyData, what: str, rows: Sequence[Row]) -> Table:
    metrics = (objective.metric for objective in data.objectives.objectives)
    return Table(("trial", "state", *metrics, what, "genes that differ"), tuple(rows))


def _relative(
    data: StudyData, family: _Family, shown: int, what: str, child: Trial, parent: Trial | None
) -> Row:
    """Return a row about a parent or child of a trial: the one whose number is ``shown``."""
    blank = [""] * len(data.objectives.objectives)
    other = family.known.get(shown)
    if other is None or parent is None:
        return (str(shown), "not in the study", *blank, what, "")
    scores = _scores(data, other, family) or ["–"] * len(blank)
    one, two = family.params[child.number], family.params[parent.number]
    differ = [n for n in data.space.entries if (n in one or n in two) and one.get(n) != two.get(n)]
    names = shorten(", ".join(differ) or "none", 300)
    return (Cell(str(shown), link=f"{shown}.html"), other.state, *scores, what, names)
