import numpy as np
import pytest

from evotune.errors import AlgorithmError
from evotune.space import Choice, Domain, Fixed, Float, Int, Range, Space
from evotune.surrogates.features import Features
from evotune.surrogates.rows import Rows
from evotune.testing.algorithms import SPACES

DEEP = Space(
    kind=Choice("a", "b", "c"),
    constant=Fixed("x", when={"kind": ("a", "b")}),
    below=Int(1, 1000, log=True, when={"constant": "x"}),
    share=Float(0.0, 1.0, when={"below": Range(10, 100)}),
    last=Float(0.0, 1.0, when={"share": Range(low=0.5)}),
    huge=Int(0, 10**9),
    rare=Float(0.0, 1.0, when={"huge": Range(0, 10**8)}),
    step=Float(0.0, 1.0, step=0.1),
    flat=Float(2.0, 2.0),
)
ALL = pytest.mark.parametrize("space", [*SPACES.values(), DEEP], ids=[*SPACES, "deep"])


def genomes_of(space, count=200):
    rng = np.random.default_rng(1)
    return [space.sample(rng) for _ in range(count)]


@ALL
def test_a_genome_comes_back_from_its_row(space):
    rows = Rows(space)
    for genome in genomes_of(space):
        back = rows.genome(rows.row(genome))
        assert list(back) == list(genome)
        assert back == pytest.approx(genome)


@ALL
def test_rows_that_are_drawn_lie_in_the_space_and_on_its_lattice(space):
    rows = Rows(space)
    drawn = rows.sample(300, np.random.default_rng(0))
    for row in drawn:
        genome = rows.genome(row)
        space.check(genome)
        np.testing.assert_allclose(rows.row(genome), row, atol=1e-9)


@ALL
def test_snapping_is_what_a_genome_would_do(space):
    rows = Rows(space)
    loose = np.random.default_rng(0).random((200, len(rows.names)))
    loose[:, ~rows.ordered] = 0
    for row, snapped in zip(loose, rows.snap(loose), strict=True):
        np.testing.assert_allclose(rows.row(rows.genome(row)), snapped, atol=1e-9)


@ALL
def test_active_genes_are_those_of_the_space(space):
    rows = Rows(space)
    genomes = genomes_of(space)
    active = rows.active(np.array([rows.row(genome) for genome in genomes]))
    for genome, mask in zip(genomes, active, strict=True):
        asleep = space.dormant(genome)
        assert mask.tolist() == [name not in asleep for name in rows.names]


@ALL
def test_keys_agree_where_the_spaces_do(space):
    rows = Rows(space)
    genomes = genomes_of(space)
    matrix = np.array([rows.row(genome) for genome in genomes])
    keys = rows.keys(matrix, rows.active(matrix))
    expected = [space.key(genome) for genome in genomes]
    assert len(set(keys)) == len(set(expected)) == len(set(zip(keys, expected, strict=True)))


@ALL
def test_discrete_genes_move_by_one_value(space):
    rows = Rows(space)
    finite = [n for n in rows.names if space[n].ordered and space[n].size < float("inf")]
    drawn = rows.sample(50, np.random.default_rng(0))
    for direction in (1, -1):
        moved = rows.shift_cells(drawn, np.full(drawn.shape, direction))
        for before, after in zip(drawn, moved, strict=True):
            old, new = rows.genome(before), rows.genome(after)
            assert all(new[n] == space[n].neighbour(old[n], direction) for n in finite)
    np.testing.assert_array_equal(rows.shift_cells(drawn, np.zeros(drawn.shape)), drawn)


def test_a_gene_without_order_or_list_is_refused():
    class Endless(Domain):
        size = float("inf")

        def contains(self, value):
            return isinstance(value, list)

        def to_unit(self, value):
            return value[0]

        def from_unit(self, unit):
            return [unit]

    with pytest.raises(AlgorithmError, match="'layers' has neither an order nor a list"):
        Rows(Space(layers=Endless(), x=Float(0, 1)))


def test_features_do_not_see_dormant_genes():
    space = SPACES["conditional"]
    rows = Rows(space)
    features = Features(rows)
    genomes = [space.complete({"rate": 0.2, "booster": "linear", "penalty": 0.1})] * 2
    genomes[1] = genomes[1] | {"depth": 15, "leaves": 60}
    matrix = np.array([rows.row(genome) for genome in genomes])
    seen = features(matrix, rows.active(matrix))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_two_values_without_order_lie_as_far_apart_as_two_ends():
    rows = Rows(Space(x=Float(0, 1), kind=Choice(*"abcd")))
    matrix = np.array([[0.0, 0], [1.0, 0], [0.0, 3], [0.0, 1]])
    seen = Features(rows)(matrix, rows.active(matrix))
    distances = np.linalg.norm(seen[1:] - seen[0], axis=1)
    np.testing.assert_allclose(distances, 1.0)


def test_every_feature_belongs_to_its_gene():
    layout = Features(Rows(SPACES["mixed"])).layout
    assert (layout.genes, layout.warped) == (7, 5)
    assert layout.gene.tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 6, 6]
