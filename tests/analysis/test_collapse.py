"""The alarm rings for a gene that has lost its variety, and not for one that has not."""

from dataclasses import replace

import numpy as np
import pytest

from evotune.analysis.data import prepare
from evotune.analysis.diversity import Collapse, Diversity, collapses
from evotune.report.findings import findings
from evotune.report.sections import sections
from evotune.trial import Trial
from helpers_report import Recorded, definition, simulate


def diversity_of(*rows: list[float]) -> Diversity:
    per_gene = np.array(rows)
    groups = np.arange(per_gene.shape[1])
    names = tuple(f"g{k}" for k in range(len(rows)))
    return Diversity(groups, names, per_gene, per_gene.mean(axis=0))


def test_the_gene_and_the_generation_are_named() -> None:
    wide = [0.8] * 8
    [found] = collapses(diversity_of(wide, [0.8, 0.6, 0.4, 0.03, 0.02, 0.02, 0.01, 0.01]))
    assert found == Collapse("g1", 3, pytest.approx(0.01 / 0.8))


@pytest.mark.parametrize(
    "row",
    [
        [0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.01, 0.01],  # for two generations only
        [0.8, 0.01, 0.01, 0.01, 0.01, 0.5, 0.6, 0.6],  # it recovered
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # it never had any
        [np.nan] * 8,
        [0.02, 0.02, 0.02, 0.01, 0.02, 0.02, 0.02, 0.02],  # narrow from the beginning
    ],
)
def test_what_is_no_collapse(row: list[float]) -> None:
    assert collapses(diversity_of(row)) == []


def test_one_odd_generation_does_not_end_it_and_none_begins_it() -> None:
    [found] = collapses(diversity_of([0.8, 0.01, 0.01, 0.01, 0.2, 0.01, 0.01, 0.01]))
    assert found.since == 1
    assert collapses(diversity_of([0.8, 0.8, 0.8, 0.01, 0.8, 0.8, 0.8, 0.8])) == []


def collapsed() -> list[Trial]:
    """A genetic search whose learning rate is the same for all from generation 3 on."""
    trials = simulate(160)
    for k in range(60, 160):
        genome = {**trials[k].genome, "lr": 0.01}
        trials[k] = replace(trials[k], genome=genome, params={**trials[k].params, "lr": 0.01})
    return trials


def test_the_report_of_a_plain_search_rings_too_and_says_what_to_do() -> None:
    data = prepare(Recorded(definition(), collapsed()))
    section = next(s for s in sections(data) if s.key == "diversity")
    assert "lr (since generation 3)" in section.warning
    for remedy in ("larger mutation", "larger population", "Islands"):
        assert remedy in section.warning
    assert section.warning in findings(data)


def test_a_search_that_stays_varied_has_no_alarm() -> None:
    data = prepare(Recorded(definition(), simulate(160)))
    assert next(s for s in sections(data) if s.key == "diversity").warning == ""
    assert not any("collapsed" in line for line in findings(data))
