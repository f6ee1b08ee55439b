"""Diversity is 1 for random trials and 0 for equal ones, gene by gene."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from evotune.analysis.diversity import diversity
from evotune.space import Choice, Float, Int, Ordinal, Space
from evotune.trial import Trial

SPACE = Space(
    lr=Float(1e-4, 1, log=True),
    n=Int(1, 9),
    size=Ordinal(1, 2, 4),
    kind=Choice("a", "b", "c", weights=[3, 2, 1]),
)


def trials_of(space: Space, genomes: list[dict[str, Any]]) -> list[Trial]:
    return [Trial(k, genome, space.params(genome)) for k, genome in enumerate(genomes)]


def measured(space: Space, genomes: list[dict[str, Any]], groups: list[int] | None = None) -> Any:
    groups = groups or [0] * len(genomes)
    return diversity(space, trials_of(space, genomes), np.array(groups, dtype=np.int64))


def test_random_genomes_have_diversity_one() -> None:
    rng = np.random.default_rng(0)
    result = measured(SPACE, [SPACE.sample(rng) for _ in range(3000)])
    assert result.genes == ("lr", "n", "size", "kind")
    np.testing.assert_allclose(result.per_gene[:, 0], 1.0, atol=0.06)
    assert result.total[0] == pytest.approx(1.0, abs=0.05)


def test_equal_genomes_have_none_and_groups_are_apart() -> None:
    rng = np.random.default_rng(0)
    one, two = SPACE.sample(rng), SPACE.sample(rng)
    result = measured(SPACE, [one, one, one, two, two], [4, 4, 4, 7, 7])
    assert result.groups.tolist() == [4, 7]
    assert result.per_gene.tolist() == [[0.0, 0.0]] * 4


def test_it_is_the_mean_over_all_pairs() -> None:
    space = Space(x=Float(0, 1), c=Choice("a", "b"))
    values = [(0.1, "a"), (0.4, "a"), (0.9, "b"), (0.35, "a")]
    result = measured(space, [{"x": x, "c": c} for x, c in values])
    pairs = list(itertools.combinations(values, 2))
    assert result.per_gene[0, 0] == pytest.approx(3 * np.mean([abs(a[0] - b[0]) for a, b in pairs]))
    assert result.per_gene[1, 0] == pytest.approx(2 * np.mean([a[1] != b[1] for a, b in pairs]))
    assert result.total[0] == pytest.approx(result.per_gene[:, 0].mean())


def test_dormant_genes_do_not_count() -> None:
    space = Space(kind=Choice("a", "b"), x=Float(0, 1, when={"kind": "a"}))
    genomes = [{"kind": "a", "x": 0.5}, {"kind": "a", "x": 0.5}, {"kind": "b", "x": 0.9}]
    result = measured(space, genomes)
    assert result.per_gene[1, 0] == 0.0
    lonely = measured(space, genomes[1:])
    assert math.isnan(lonely.per_gene[1, 0])
    assert lonely.total[0] == lonely.per_gene[0, 0]


def test_one_trial_has_no_diversity_and_no_trials_have_no_groups() -> None:
    assert math.isnan(measured(Space(x=Float(0, 1)), [{"x": 0.5}]).total[0])
    assert measured(SPACE, []).total.shape == (0,)
