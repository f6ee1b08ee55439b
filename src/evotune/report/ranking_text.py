"""A ranking of methods in words and tables."""

import math

from evotune.report import ranks
from evotune.report.ranking import Pair, Ranking
from evotune.report.text import count, number


def verdicts(ranking: Ranking) -> list[str]:
    """Return in plain words what the numbers allow to say."""
    best = ranking.methods[0]
    where = f"on {len(ranking.tasks)} tasks" if len(ranking.tasks) > 1 else "on the same task"
    first = [name for name in ranking.methods if ranking.rank(name) == ranking.rank(best)]
    lines = [
        f"{_list(first)} {'share' if len(first) > 1 else 'has'} the best mean rank, "
        f"{ranking.rank(best):.2f} of {len(ranking.methods)}, over "
        f"{count(ranking.runs, 'paired run')} {where}."
    ]
    own = [pair for pair in ranking.pairs if pair.first == best]
    sure, open_ = ([p.second for p in own if p.is_sure is wanted] for wanted in (True, False))
    if sure:
        lines.append(f"{best} is better than {_list(sure)} (Wilcoxon with Holm's correction, 5 %).")
    if open_:
        lines.append(f"{best} cannot be told apart from {_list(open_)} by these runs.")
    needed = ranks.runs_needed(len(ranking.pairs))
    if ranking.runs < needed:
        lines.append(
            f"{count(ranking.runs, 'run')} of each cannot prove a difference, however large: "
            f"{len(ranking.methods)} methods need {needed}; run more seeds."
        )
    if len(ranking.tasks) > 1:
        lines.append("The tests speak of these tasks, not of others.")
    return lines


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def friedman_text(ranking: Ranking) -> str:
    """Return what Friedman's test and the critical difference say."""
    distance = (
        f"Critical difference {ranking.critical_difference:.2f} (Nemenyi, 5 %): mean ranks that "
        "are closer may differ by chance."
    )
    if math.isnan(ranking.friedman):
        return distance
    p = p_text(ranking.friedman)
    return (
        f"Friedman's test that all are alike: p {p if p[0] == '<' else f'= {p}'}. {distance} This "
        "looks at ranks only; what is said of two methods rests on Wilcoxon's test of each pair."
    )


def p_text(p: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def gain_texts(ranking: Ranking, pair: Pair) -> tuple[str, str]:
    """Return the gain of a pair and its interval, in per cent where there are several tasks."""
    scale, unit = (100.0, " %") if len(ranking.tasks) > 1 else (1.0, "")
    mean, low, high = (f"{scale * x:+.4g}{unit}" for x in (pair.gain, pair.low, pair.high))
    return mean, "–" if math.isnan(pair.low) else f"{low} to {high}"


def gain_name(ranking: Ranking) -> str:
    """Return what the gain of a pair is measured in."""
    if len(ranking.tasks) > 1:
        return "gain in % of each task's range"
    return f"gain in {ranking.tasks[0].metric}"


def text(ranking: Ranking) -> str:
    """Return tables of ranks and pairs, verdicts and notes."""
    parts = [_rank_table(ranking), _pair_table(ranking), "\n".join(verdicts(ranking))]
    parts.append(friedman_text(ranking))
    if ranking.notes:
        parts.append("\n".join(ranking.notes))
    return "\n\n".join(parts)


def _rank_table(ranking: Ranking) -> str:
    heads = [f"rank at {number(point)}" for point in ranking.checkpoints]
    rows = [
        [
            name,
            *(f"{ranking.rank(name, point):.2f}" for point in ranking.checkpoints),
            *([] if len(ranking.tasks) > 1 else result_texts(ranking, name)),
        ]
        for name in ranking.methods
    ]
    if len(ranking.tasks) == 1:
        task = ranking.tasks[0]
        heads += [f"median {task.metric} ({task.direction})", "worst to best"]
    return _columns(["method", *heads], rows)


def result_texts(ranking: Ranking, method: str, task: int = 0) -> list[str]:
    """Return the median and the range of a method's results at the end of one task."""
    of_task = ranking.tasks[task]
    found = sorted(x for x in of_task.curves[method][:, -1] if not math.isnan(x))
    if not found:
        return ["–", "–"]
    middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
    ends = found if of_task.direction == "max" else found[::-1]
    return [f"{middle:.5g}", f"{ends[0]:.5g} to {ends[-1]:.5g}"]


def _pair_table(ranking: Ranking) -> str:
    heads = ["pair", gain_name(ranking), "95 % interval", "wins", "ties", "losses", "p (Holm)"]
    rows = []
    for pair in ranking.pairs:
        ties = ranking.runs - pair.wins - pair.losses
        tally = [str(pair.wins), str(ties), str(pair.losses)]
        who = f"{pair.first} − {pair.second}"
        rows.append([who, *gain_texts(ranking, pair), *tally, p_text(pair.p)])
    return _columns(heads, rows)


def _columns(heads: list[str], rows: list[list[str]]) -> str:
    table = [heads, *rows]
    widths = [max(len(row[k]) for row in table) for k in range(len(heads))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
