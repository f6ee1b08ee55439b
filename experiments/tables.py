"""What the reports of all experiments are made of: tables, figures and sections in Markdown."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from evotune.analysis.statistics import Difference


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned, so that it reads well as it is."""
    cells = [list(head), *map(list, lines)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    padded = [[c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in cells]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def spread(values: Sequence[float], digits: int, factor: float = 1.0) -> str:
    """Return mean ± standard deviation, or the only value."""
    mean = f"{factor * np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {factor * np.std(values, ddof=1):.{digits}f}"


def cells(gap: Difference, digits: int, factor: float = 1.0) -> tuple[str, str, str]:
    """Return three cells: mean with its interval, Wilcoxon's p, in how many pairs it is larger."""
    mean, low, high = (f"{factor * x:+.{digits}f}" for x in (gap.mean, gap.low, gap.high))
    return f"{mean} ({low} to {high})", f"{gap.p:.3f}", f"{gap.larger} of {gap.pairs}"


def figures(gap: Difference, digits: int, unit: str = "", factor: float = 1.0) -> str:
    """Return the same as part of a sentence."""
    mean, interval, *_ = cells(gap, digits, factor)[0].split(" ", 1)
    return (
        f"{mean}{unit}, 95 % CI {interval[1:-1]}, larger in {gap.larger} of {gap.pairs} seeds, "
        f"Wilcoxon p = {gap.p:.3f}"
    )


def params_lines(best: Sequence[tuple[str, int, Mapping[str, object]]]) -> str:
    """Return the best params of every search, each given with its name and seed."""
    lines = [[name, str(seed), readable(params)] for name, seed, params in best]
    return table(["search", "seed", "best params"], lines)


def readable(params: Mapping[str, object]) -> str:
    """Return params in short."""
    return ", ".join(f"{name} {_value(value)}" for name, value in params.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return "[" + "; ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, Mapping):
        rest = (_value(inner) for name, inner in value.items() if name != "block")
        return " ".join([str(value.get("block", "")), *rest]).strip()
    return str(value)


def machine() -> str:
    """Describe the machine and the versions that figures come from."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{cores} cores ({platform.machine()}), {device}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def write_section(path: Path, title: str, text: str) -> None:
    """Put a section into a Markdown file in place of the one with this title, or at its end."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(old):
        new = pattern.sub(lambda _: section + "\n", old).rstrip() + "\n"
    else:
        new = f"{old.rstrip()}\n\n{section}".lstrip()
    path.write_text(new, encoding="utf-8")
