"""Chains of layers: lists of records outside, conditional genes inside."""

import enum
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.algorithms import recipes
from evotune.algorithms.genetic import Genetic
from evotune.errors import AlgorithmError, GenomeError, SpaceError
from evotune.space import Chain, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.space.refine import Refinement
from evotune.study.study import Study
from evotune.testing.algorithms import Rehearsal
from evotune.testing.domains import steady

CONV = {"filters": Int(8, 128, log=True), "kernel": Ordinal(1, 3, 5)}
SPACE = Space(
    lr=Float(1e-4, 1.0, log=True),
    features=Chain(1, 4, conv=CONV, residual=CONV, pool={}),
    head=Chain(0, 2, dense={"units": Int(16, 256, log=True), "dropout": Float(0.0, 0.6)}),
)
LAYERS = [
    {"block": "conv", "filters": 32, "kernel": 3},
    {"block": "pool"},
    {"block": "residual", "filters": 64, "kernel": 5},
]
PARAMS = {"lr": 0.01, "features": LAYERS, "head": [{"block": "dense", "units": 64, "dropout": 0.5}]}


def one(**blocks):
    """A space of one chain of one or two layers."""
    return Space(layers=Chain(1, 2, **blocks))


def draw(space, seed=0):
    return space.sample(np.random.default_rng(seed))


class TestGenes:
    def test_the_depth_comes_first_then_layer_by_layer(self):
        space = Space(layers=Chain(1, 2, conv=CONV, pool={}))
        assert space.names == (
            "layers.depth",
            "layers.1.block",
            "layers.1.filters",
            "layers.1.kernel",
            "layers.2.block",
            "layers.2.filters",
            "layers.2.kernel",
        )
        assert space["layers.depth"] == Int(1, 2)
        assert space["layers.2.filters"].when == (
            ("layers.depth", Range(2)),
            ("layers.2.block", ("conv",)),
        )

    def test_a_single_block_needs_no_gene_for_it(self):
        assert "head.1.block" not in SPACE.names
        assert [layer["block"] for layer in PARAMS["head"]] == ["dense"]

    def test_a_fixed_number_of_layers_does_not_vary(self):
        space = Space(layers=Chain(2, 2, conv=CONV))
        assert space["layers.depth"] == Fixed(2)
        assert not space.conditional
        assert len(space.params(draw(space))["layers"]) == 2

    def test_blocks_share_a_setting_of_equal_domains(self):
        """So a width keeps its value when the block changes."""
        genome = SPACE.complete(PARAMS)
        other = genome | {"features.1.block": "residual"}
        assert SPACE.params(other)["features"][0] == LAYERS[0] | {"block": "residual"}

    def test_blocks_with_unequal_domains_each_have_a_gene(self):
        space = one(conv={"width": Int(1, 8)}, dense={"width": Int(100, 200)})
        assert {"layers.1.conv.width", "layers.1.dense.width"} <= set(space.names)
        layers = [{"block": "dense", "width": 150}, {"block": "conv", "width": 3}]
        assert space.params(space.complete({"layers": layers})) == {"layers": layers}

    def test_genes_of_absent_layers_and_of_other_blocks_are_dormant(self):
        asleep = SPACE.dormant(SPACE.complete(PARAMS))
        assert {"features.2.filters", "features.4.block", "head.2.units"} <= asleep
        assert not {"features.1.filters", "features.3.kernel", "head.1.units"} & asleep

    def test_a_value_is_a_constant_of_its_block(self):
        space = one(conv={"filters": Int(1, 8), "kernel": 3})
        assert space.params(draw(space))["layers"][0]["kernel"] == 3
        known = space.complete({"layers": [{"filters": 2}]})  # one block, and a constant
        assert space.params(known) == {"layers": [{"block": "conv", "filters": 2, "kernel": 3}]}

    def test_distinct_lists_are_counted(self):
        assert Space(layers=Chain(0, 2, a={}, b={})).size() == 1 + 2 + 4


class TestConditions:
    def test_one_between_settings_is_meant_within_a_layer(self):
        norm = {"norm": Choice("batch", "none"), "momentum": Float(0, 1, when={"norm": "batch"})}
        space = one(conv=norm)
        layers = [
            {"block": "conv", "norm": "none"},
            {"block": "conv", "norm": "batch", "momentum": 0.25},
        ]
        assert space.params(space.complete({"layers": layers})) == {"layers": layers}

    def test_one_on_a_setting_that_blocks_do_not_share(self):
        """Equal settings with unequal conditions behind them are genes of their own."""
        width = Int(1, 8, when={"kind": "a"})
        space = one(
            conv={"kind": Choice("a", "b"), "width": width},
            skip={"kind": Choice("a", "c"), "width": width},
        )
        layers = [{"block": "skip", "kind": "a", "width": 3}, {"block": "conv", "kind": "b"}]
        assert space.params(space.complete({"layers": layers})) == {"layers": layers}

    def test_one_on_a_setting_that_only_two_of_three_share(self):
        width = Int(1, 8, when={"kind": "a"})
        two = {"kind": Choice("a", "b"), "width": width}
        space = one(conv=two, skip=two, other={"kind": Choice("a", "c")})
        layers = [{"block": "skip", "kind": "a", "width": 3}, {"block": "other", "kind": "c"}]
        assert space.params(space.complete({"layers": layers})) == {"layers": layers}

    def test_one_on_a_gene_of_the_space(self):
        space = Space(
            big=Choice(True, False), layers=Chain(1, 2, conv={"w": Int(1, 8, when={"big": True})})
        )
        assert space.params(space.complete({"big": False, "layers": [{}]})) == {
            "big": False,
            "layers": [{"block": "conv"}],
        }

    def test_one_on_the_depth_joins_that_of_the_layer(self):
        space = Space(layers=Chain(1, 3, conv={"w": Int(1, 3, when={"layers.depth": Range(2)})}))
        assert space["layers.3.w"].when == (("layers.depth", Range(3)),)
        assert Space.from_json(space.to_json()) == space

    def test_one_of_the_whole_chain(self):
        space = Space(
            kind=Choice("net", "tree"), layers=Chain(1, 2, when={"kind": "net"}, conv=CONV)
        )
        assert space.params(space.complete({"kind": "tree"})) == {"kind": "tree"}
        assert "layers" in space.params(draw(space) | {"kind": "net"})
        with pytest.raises(GenomeError, match="chain 'layers' is active but missing"):
            space.complete({"kind": "net"})

    def test_a_gene_may_depend_on_a_chain(self):
        space = Space(
            layers=Chain(0, 2, conv=CONV), decay=Float(0, 1, when={"layers.depth": Range(1)})
        )
        assert space.params(space.complete({"layers": []})) == {"layers": []}
        assert Space.from_json(space.to_json()) == space

    def test_a_circle_of_settings_is_refused(self):
        with pytest.raises(SpaceError, match="form a cycle"):
            one(conv={"a": Choice(1, 2, when={"b": 1}), "b": Choice(1, 2, when={"a": 1})})


class TestLists:
    def test_there_and_back(self):
        genome = SPACE.complete(PARAMS)
        SPACE.check(genome)
        assert SPACE.params(genome) == PARAMS

    def test_layers_that_sleep_keep_their_genes_when_they_wake(self):
        deep = SPACE.complete(PARAMS)
        shallow = deep | {"features.depth": 1}
        assert SPACE.params(shallow)["features"] == LAYERS[:1]
        assert SPACE.params(shallow | {"features.depth": 3})["features"] == LAYERS

    def test_a_dormant_layer_makes_no_difference(self):
        genome = SPACE.complete(PARAMS)
        assert SPACE.key(genome) == SPACE.key(genome | {"features.4.filters": 8})
        assert SPACE.key(genome) != SPACE.key(genome | {"features.3.filters": 8})

    def test_no_layer_at_all(self):
        assert SPACE.params(SPACE.complete(PARAMS | {"head": []}))["head"] == []

    def test_members_of_an_enum(self):
        class Act(enum.Enum):
            RELU = "relu"
            TANH = "tanh"

        space = one(conv={"act": Choice(Act)}, pool={})
        layers = [{"block": "conv", "act": Act.TANH}, {"block": "pool"}]
        genome = space.complete({"layers": layers})
        assert json.loads(json.dumps(genome)) == genome
        assert space.params(genome)["layers"] == layers

    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            ([], "has 1 to 4 layers, got 0"),
            ([{"block": "pool"}] * 5, "has 1 to 4 layers, got 5"),
            ("conv", "is a list of layers such as"),
            ({"block": "pool"}, "is a list of layers such as"),
            (None, "is a list of layers such as"),
            (3, "is a list of layers such as"),
            (["pool"], "features.1 is a record such as"),
            ([{"block": "pol"}], "did you mean 'pool'"),
            ([{"block": ["pool"]}], "has the block"),
            ([{"filters": 32}], "has the block None"),
            ([{"block": "pool", "filters": 3}], "'pool' has no 'filters', only its name"),
            ([{"block": "conv", "filter": 3}], "did you mean 'filters'"),
            (
                [{"block": "conv", "filters": 32}],
                "'kernel' of layer 1 of chain 'features', gene 'features.1.kernel', is active but",
            ),
            ([{"block": "conv", "filters": 999, "kernel": 3}], "'features.1.filters' is 999"),
            ([{"block": "conv", "filters": "32", "kernel": 3}], "a text and not a number"),
        ],
    )
    def test_what_is_wrong_in_a_list(self, layers, message):
        with pytest.raises(GenomeError, match=message):
            SPACE.complete(PARAMS | {"features": layers})

    def test_a_missing_chain_is_called_so(self):
        with pytest.raises(GenomeError, match="chain 'head' is active but missing"):
            SPACE.complete({"lr": 0.1, "features": LAYERS})


class TestWhatIsNoChain:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Chain(1, 3), "has no block"),
            (lambda: Chain(3, 1, a={}), r"write Chain\(1, 3"),
            (lambda: Chain(0, 0, a={}), r"write Chain\(0, 1"),
            (lambda: Chain(-1, 2, a={}), r"write Chain\(1, 2"),
            (lambda: Chain(1, 2.5, a={}), "max must be a whole number"),
            (lambda: Chain(True, 2, a={}), "min must be a finite number"),
            (lambda: Chain("1", 2, a={}), "min must be a finite number"),
            (lambda: Chain(1, 2, a=None), "is a mapping of its settings"),
            (lambda: Chain(1, 2, a=Int(1, 2)), "is a mapping of its settings"),
            (lambda: Chain(1, 2, a={"block": Choice("x", "y")}), "the key of its name"),
            (lambda: Chain(1, 2, a={"x.y": Int(1, 2)}), "named by words"),
            (lambda: Chain(1, 2, a={3: Int(1, 2)}), "named by words"),
            (lambda: Chain(1, 2, **{"a.b": {}}), "blocks are named by words"),
            (
                lambda: Chain(1, 2, a={"k": [1, 2]}),
                r"a: k is a domain such as.*write Choice\(1, 2\)",
            ),
            (lambda: Chain(1, 2, a={"k": float("nan")}), "a: k is a domain such as"),
            (lambda: Chain(1, 2, a={"k": Chain(1, 2, b={})}), "no layers inside of it"),
            (lambda: Space({3: Chain(1, 2, a={})}), "named by non-empty strings"),
            (lambda: Space({"": Chain(1, 2, a={})}), "named by non-empty strings"),
            (lambda: one(a={"w": Int(1, 2, when={"z": 1})}), "'z', which is not in the space"),
        ],
    )
    def test_is_refused(self, make, message):
        with pytest.raises(SpaceError, match=message):
            make()

    @pytest.mark.parametrize("gene", ["f.depth", "f.1.block", "f.2.width"])
    @pytest.mark.parametrize("first", [True, False])
    def test_names_that_clash(self, gene, first):
        genes = {gene: Float(0, 1), "f": Chain(1, 2, a={"width": Int(1, 2)}, b={})}
        with pytest.raises(SpaceError, match=f"gene '{gene}' is there twice"):
            Space(genes if first else dict(reversed(genes.items())))

    def test_chains_whose_genes_clash(self):
        inner = {"depth": Int(1, 2)}
        with pytest.raises(SpaceError, match="is there twice"):
            Space({"f": Chain(1, 2, a=inner), "f.1": Chain(1, 2, a={})})

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"min": 1, "blocks": {"a": {}}}, "a chain has a min, a max and blocks"),
            ({"min": 1, "max": 2}, "a chain has a min, a max and blocks"),
            ({"min": 1, "max": 2, "blocks": ["a"]}, "a chain has a min, a max and blocks"),
            ({"min": 1, "max": 2, "blocks": {"a": {}}, "depth": 3}, "a chain has a min"),
            ({"min": 1, "max": 2, "blocks": {"a": 3}}, "is a table of settings"),
            ({"min": 1, "max": 2, "blocks": {"when": {}}}, "no block called 'when'"),
            ({"min": 1, "max": 2, "blocks": {"a": {"w": {"type": "in"}}}}, "in"),
        ],
    )
    def test_in_a_file(self, data, message):
        with pytest.raises(SpaceError, match=message):
            Space.from_json({"layers": {"type": "chain", **data}})


class TestJson:
    def test_a_chain_is_one_entry(self):
        assert list(SPACE.to_json()) == ["lr", "features", "head"]
        assert SPACE.to_json()["head"]["type"] == "chain"

    def test_there_and_back(self):
        again = Space.from_json(json.loads(json.dumps(SPACE.to_json())))
        assert again == SPACE
        assert again.names == SPACE.names
        assert again.chains == SPACE.chains
        assert again.params(SPACE.complete(PARAMS)) == PARAMS

    def test_a_narrower_gene_stands_beside_its_chain(self):
        narrow = SPACE.narrowed(
            SPACE.domains
            | {"features.1.filters": Int(16, 32, when=SPACE["features.1.filters"].when)}
        )
        again = Space.from_json(json.loads(json.dumps(narrow.to_json())))
        assert again.domains == narrow.domains
        assert again == narrow != SPACE
        with pytest.raises(GenomeError, match="outside its domain"):
            again.complete(PARAMS | {"features": [LAYERS[0] | {"filters": 64}]})


class TestStudies:
    def test_lists_in_and_out(self):
        study = Study(Genetic(SPACE, population_size=4, seeds=[PARAMS]), "min loss", seed=0)
        study.enqueue(PARAMS | {"features": LAYERS[:1]})
        study.add(PARAMS | {"head": []}, {"loss": -1.0})
        study.run(lambda trial: len(trial.params["features"]) + trial.params["lr"], trials=7)
        assert study.best.params == PARAMS | {"head": []}
        found = [trial.params for trial in study.trials]
        assert PARAMS in found
        assert PARAMS | {"features": LAYERS[:1]} in found

    def test_what_cannot_be_enqueued(self):
        study = Study(Genetic(SPACE), "min loss", seed=0)
        with pytest.raises(GenomeError, match="'pool' has no 'filters'"):
            study.enqueue(PARAMS | {"features": [{"block": "pool", "filters": 3}]})

    def test_a_stored_study_goes_on(self, tmp_path):
        def loss(trial):
            return abs(len(trial.params["features"]) - 2) + trial.params["lr"]

        def run(trials, **options):
            study = Study(Genetic(SPACE, population_size=4), "min loss", seed=3, **options)
            return study.run(loss, trials=trials)

        stored = {"storage": f"sqlite:///{tmp_path / 'runs.db'}", "name": "chains"}
        run(9, **stored).close()
        went_on = run(20, **stored)
        straight = run(20)
        assert [t.params for t in went_on.trials] == [t.params for t in straight.trials]
        went_on.close()
        opened = Study(Genetic(SPACE, population_size=4), "min loss", **stored)
        assert opened.best.params == straight.best.params
        opened.close()


class TestSearches:
    def test_refinement_narrows_the_genes_of_chains(self):
        algorithm = Genetic(SPACE, population_size=8, refinement=Refinement(every=1, elite=0.25))

        def loss(trial):
            depth = trial.genome["features.depth"]
            return abs(depth - 2) + abs(trial.genome["features.1.filters"] - 32) / 32

        Rehearsal(algorithm, value=loss).run(80)
        ranges = algorithm.ranges
        assert ranges["features.1.filters"].size < SPACE["features.1.filters"].size
        assert Space.from_json(ranges.to_json()) == ranges
        for seed in range(20):
            SPACE.check(draw(ranges, seed))
            assert 1 <= len(SPACE.params(draw(ranges, seed))["features"]) <= 4

    def test_a_chain_is_a_structure_to_keep(self):
        algorithm = recipes.tune_then_schedule(
            SPACE, structure=["features", "head"], trials=12, population_size=4
        )
        rehearsal = Rehearsal(algorithm).run(40)
        first = min(rehearsal.trials[:12], key=lambda t: t.values)
        later = rehearsal.trials[12:]
        assert all(t.params["features"] == first.params["features"] for t in later)
        assert all(t.params["head"] == first.params["head"] for t in later)
        assert len({t.params["lr"] for t in later}) > 3

    def test_a_structure_that_is_not_there(self):
        with pytest.raises(AlgorithmError, match="did you mean 'features'"):
            recipes.tune_then_schedule(SPACE, structure=["feature"])
        with pytest.raises(AlgorithmError, match="nothing is left to schedule"):
            recipes.tune_then_schedule(SPACE, structure=["features", "head", "lr"])


widths = st.one_of(
    st.builds(lambda low, more: Int(low, low + more), st.integers(1, 9), st.integers(0, 9)),
    st.just(Float(0.0, 1.0)),
    st.just(Ordinal(1, 3, 5)),
    st.just(Choice("relu", None)),
)
blocks = st.dictionaries(
    st.sampled_from(["conv", "pool", "dense"]),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), widths, max_size=3),
    min_size=1,
)


@st.composite
def spaces(draw):
    low, more = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    return Space(x=Float(0, 1), layers=Chain(low, low + more, **draw(blocks)))


@steady
@given(space=spaces(), seed=st.integers(0, 2**32 - 1))
def test_any_chain_and_any_genome(space, seed):
    """Genome -> layers -> genome, and a space through JSON, for all spaces and genomes."""
    genome = draw(space, seed)
    params = space.params(genome)
    layers = params["layers"]
    assert len(layers) == genome["layers.depth"]
    assert all(record["block"] in space.chains["layers"].blocks for record in layers)
    for record in layers:
        assert record.keys() == {"block", *space.chains["layers"].blocks[record["block"]]}
    again = space.complete(params)
    assert space.key(again) == space.key(genome)
    assert space.params(again) == params
    assert space.active(again) == space.active(genome)
    read = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert read == space
    assert read.params(genome) == params


@steady
@given(space=spaces(), depth=st.integers(0, 5), seed=st.integers(0, 2**32 - 1))
def test_other_depths_take_or_leave_the_last_layers(space, depth, seed):
    chain = space.chains["layers"]
    genome = draw(space, seed)
    depth = min(max(depth, chain.min), chain.max)
    other = space.params(genome | {"layers.depth": depth})["layers"]
    layers = space.params(genome)["layers"]
    both = min(depth, len(layers))
    assert other[:both] == layers[:both]
    assert len(other) == depth


def test_a_gene_beside_the_list_that_holds_it_is_refused():
    space = Space(layers=Chain(1, 3, dense={"units": Int(1, 8)}))
    with pytest.raises(GenomeError, match="given twice"):
        space.complete({"layers": [{"block": "dense", "units": 3}], "layers.1.units": 5})


def test_a_condition_may_name_the_depth_of_a_chain_but_not_the_chain():
    chain = Chain(1, 3, dense={"units": Int(4, 8)})
    with pytest.raises(SpaceError, match=r"'f', which is a chain .* when=\{'f.depth': \[1, 2\]\}"):
        Space(f=chain, lr=Float(0.0, 1.0, when={"f": "dense"}))
    space = Space(f=chain, lr=Float(0.0, 1.0, when={"f.depth": [1, 2]}))
    assert "lr" not in space.params(space.complete({"f": [{"units": 4}] * 3}))
    assert "lr" in space.params(space.complete({"f": [{"units": 4}] * 2, "lr": 0.5}))


def test_weights_of_a_setting_hold_in_every_layer_and_are_shown():
    kind = Choice("relu", "tanh", weights=(9, 1))
    space = Space(net=Chain(1, 3, conv={"act": kind}, residual={"act": kind}, pool={}))
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    rng = np.random.default_rng(0)
    drawn = [again.params(again.sample(rng))["net"] for _ in range(200)]
    kinds = [layer["act"] for layers in drawn for layer in layers if "act" in layer]
    assert 0.85 < kinds.count("relu") / len(kinds) < 0.95
    assert "Choice('relu', 'tanh', weights=(9.0, 1.0))" in repr(again.chains["net"])
    evenly = {"act": Choice("relu", "tanh")}
    other = Space(net=Chain(1, 1, conv={"act": kind}, residual=evenly))
    assert "net.1.residual.act" in other.names  # other weights are another domain
