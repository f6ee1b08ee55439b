"""Schedules: one record outside, conditional genes inside."""

import json

import numpy as np
import pytest

from evotune.algorithms.differential import DifferentialEvolution
from evotune.algorithms.genetic import Genetic
from evotune.algorithms.halving import SuccessiveHalving
from evotune.algorithms.hybrid import Hybrid
from evotune.algorithms.random_search import RandomSearch
from evotune.errors import GenomeError, SpaceError
from evotune.space import Chain, Choice, Float, Int, Range, Scheduled, Space
from evotune.space.space import difference
from evotune.study.study import Study
from evotune.testing.algorithms import Rehearsal

RATE = Float(1e-4, 1.0, log=True)
SPACE = Space(
    lr=Scheduled(RATE),
    optimizer=Choice("sgd", "adam"),
    momentum=Scheduled(
        Float(0.5, 0.99, when={"optimizer": "sgd"}), shapes=("cosine", "piecewise"), warmup=0
    ),
)
COSINE = {"shape": "cosine", "start": 0.1, "end_share": 0.01, "warmup": 0.1}


class TestGenes:
    def test_a_schedule_is_its_shape_and_the_values_of_its_shapes(self):
        space = Space(lr=Scheduled(RATE, knots=3, warmup=0.2))
        assert space.names == (
            *("lr.shape", "lr.start", "lr.warmup", "lr.end_share"),
            *("lr.knot1", "lr.knot2", "lr.knot3"),
        )
        assert space["lr.shape"] == Choice("constant", "exponential", "cosine", "piecewise")
        assert space["lr.start"] == RATE
        assert space["lr.warmup"] == Float(0.0, 0.2)
        assert space["lr.end_share"].when == (("lr.shape", ("exponential", "cosine")),)
        assert space["lr.knot3"] == Float(1e-4, 1.0, log=True, when={"lr.shape": "piecewise"})
        assert space.entries == {"lr": space.names}

    def test_one_shape_needs_no_gene_and_no_warm_up_none_either(self):
        space = Space(lr=Scheduled(RATE, shapes="cosine", warmup=0))
        assert space.names == ("lr.start", "lr.end_share")

    @pytest.mark.parametrize("domain", [Float(0.1, 0.9), Int(1, 9), Int(1, 9, log=True)])
    def test_the_end_of_other_domains_is_one_of_their_values(self, domain):
        space = Space(x=Scheduled(domain, shapes="cosine"))
        assert space["x.end"] == domain

    def test_conditions_of_the_domain_are_those_of_the_whole_schedule(self):
        genome = SPACE.complete({"lr": 0.1, "optimizer": "adam"})
        assert "momentum" not in SPACE.params(genome)
        assert {"momentum.shape", "momentum.start", "momentum.end"} <= SPACE.dormant(genome)
        record = {"shape": "cosine", "start": 0.9, "end": 0.5}
        whole = {"lr": 0.1, "optimizer": "sgd", "momentum": record}
        assert SPACE.params(SPACE.complete(whole))["momentum"] == record

    def test_other_genes_may_depend_on_its_genes_but_not_on_the_record(self):
        lr = Scheduled(RATE)
        Space(lr=lr, x=Float(0, 1, when={"lr.shape": "cosine"}))
        Space(lr=lr, x=Float(0, 1, when={"lr.start": Range(0.01)}))
        with pytest.raises(SpaceError, match=r"'lr', which is a schedule.*'lr.start': Range"):
            Space(lr=lr, x=Float(0, 1, when={"lr": 0.1}))


class TestRecords:
    def test_params_and_genome_are_the_same_thing(self):
        rng = np.random.default_rng(0)
        shapes = set()
        for _ in range(50):
            genome = SPACE.sample(rng)
            params = json.loads(json.dumps(SPACE.params(genome)))
            shapes.add(params["lr"]["shape"])
            assert set(params) == {"lr", "optimizer"} | (
                {"momentum"} if params["optimizer"] == "sgd" else set()
            )
            assert SPACE.key(SPACE.complete(params)) == SPACE.key(genome)
        assert shapes == set(SPACE["lr.shape"].values())

    def test_one_number_is_a_constant_without_warm_up(self):
        space = Space(lr=Scheduled(RATE))
        constant = {"shape": "constant", "start": 0.01, "warmup": 0.0}
        assert space.params(space.complete({"lr": 0.01})) == {"lr": constant}
        with pytest.raises(GenomeError, match="has no constant shape, only cosine; write a record"):
            Space(lr=Scheduled(RATE, shapes="cosine")).complete({"lr": 0.01})

    @pytest.mark.parametrize(
        ("record", "words"),
        [
            (COSINE | {"shape": "cosin"}, "has the shape 'cosin'.*did you mean 'cosine'"),
            (COSINE | {"end": 0.1}, "'lr', cosine, has no 'end', only start, end_share, warmup"),
            (COSINE | {"knot1": 0.1}, "'lr', cosine, has no 'knot1'"),
            ({"start": 0.1, "finish": 1}, "'lr' has no 'finish'"),
            ({"shape": "cosine", "start": 0.1, "warmup": 0}, "'end_share' of schedule 'lr'"),
            (COSINE | {"start": 7.0}, "'lr.start' is 7.0, outside its domain"),
            (COSINE | {"warmup": 0.5}, "'lr.warmup' is 0.5, outside its domain"),
            ("cosine", "'lr' is a record such as {'shape'"),
            ([0.1, 0.2], "'lr' is a record such as {'shape'"),
        ],
    )
    def test_a_wrong_record_is_refused_in_words(self, record, words):
        with pytest.raises(GenomeError, match=words):
            Space(lr=Scheduled(RATE)).complete({"lr": record})

    def test_a_gene_that_is_given_twice_is_refused(self):
        with pytest.raises(GenomeError, match="by itself and in its schedule"):
            Space(lr=Scheduled(RATE)).complete({"lr": 0.1, "lr.start": 0.1})


class TestArguments:
    @pytest.mark.parametrize(
        ("domain", "options", "words"),
        [
            (Choice(1, 2), {}, "those of a Float or an Int, got Choice"),
            (0.1, {}, "those of a Float or an Int, got 0.1"),
            (RATE, {"shapes": "cosin"}, "'cosin' is not known.*did you mean 'cosine'"),
            (RATE, {"shapes": ("cosine", "line")}, "'line' is not known"),
            (RATE, {"shapes": ()}, "shapes are some of"),
            (RATE, {"shapes": 3}, "shapes are some of"),
            (RATE, {"shapes": ("cosine", "cosine")}, "twice"),
            (RATE, {"knots": 0}, "knots is a whole number from 1 up, got 0"),
            (RATE, {"knots": 1.5}, "knots must be a whole number"),
            (RATE, {"knots": 3, "shapes": "cosine"}, "knots=3 has no effect"),
            (RATE, {"warmup": 1}, r"in \[0, 1\), got 1.0"),
            (RATE, {"warmup": -0.1}, r"in \[0, 1\), got -0.1"),
            (RATE, {"warmup": "long"}, "warmup must be a finite number"),
            (Float(0, 1), {}, r"needs values above 0.*write shapes=\('constant', 'cosine',"),
        ],
    )
    def test_bad_ones_are_refused_in_words(self, domain, options, words):
        with pytest.raises(SpaceError, match=words):
            Scheduled(domain, **options)

    def test_a_schedule_is_no_setting_of_a_layer(self):
        with pytest.raises(SpaceError, match="conv: rate is a domain"):
            Chain(1, 2, conv={"rate": Scheduled(RATE)})

    def test_names_that_are_taken_are_refused(self):
        with pytest.raises(SpaceError, match=r"'lr.start' is there twice.*schedule 'lr'"):
            Space({"lr": Scheduled(RATE), "lr.start": Float(0, 1)})
        with pytest.raises(SpaceError, match="schedules are named by"):
            Space({"": Scheduled(RATE)})


class TestJson:
    def test_a_space_comes_back_from_json(self):
        data = json.loads(json.dumps(SPACE.to_json()))
        assert set(data) == {"lr", "optimizer", "momentum"}
        again = Space.from_json(data)
        assert again == SPACE
        assert again.names == SPACE.names
        assert again.compounds == SPACE.compounds

    def test_a_narrowed_space_comes_back_too(self):
        narrow = SPACE.narrowed(SPACE.domains | {"lr.start": Float(1e-3, 1e-2, log=True)})
        assert Space.from_json(narrow.to_json())["lr.start"].high == 1e-2

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            ({}, "needs the domain of its values"),
            ({"domain": RATE.to_json(), "knot": 1}, "no 'knot'.*did you mean 'knots'"),
        ],
    )
    def test_a_bad_description_is_refused(self, table, words):
        with pytest.raises(SpaceError, match=words):
            Space.from_json({"lr": {"type": "scheduled", **table}})

    def test_two_spaces_differ_in_the_schedule_that_differs(self):
        one, two = Space(lr=Scheduled(RATE)), Space(lr=Scheduled(RATE, knots=3))
        [line] = difference(one.to_json(), two.to_json())
        assert line.startswith("~ lr:")

    def test_it_is_shown_as_it_is_written(self):
        space = Space(lr=Scheduled(Float(0.1, 1.0), shapes=("constant", "cosine"), warmup=0.2))
        shown = "Space(lr=Scheduled(Float(0.1, 1), shapes=('constant', 'cosine'), warmup=0.2))"
        assert repr(space) == shown
        assert "0.1 to 1, shapes=constant or cosine" in space._repr_html_()


@pytest.mark.parametrize(
    "make",
    [
        RandomSearch,
        Hybrid,
        lambda space: Genetic(space, population_size=6),
        lambda space: DifferentialEvolution(space, population_size=6),
        lambda space: SuccessiveHalving(RandomSearch(space), minimum=1, maximum=9),
    ],
)
def test_algorithms_of_constants_search_schedules(make):
    rehearsal = Rehearsal(make(SPACE)).run(24, at_once=3, failing=0.2)
    for trial in rehearsal.trials:
        again = SPACE.complete(SPACE.params(trial.genome))
        assert SPACE.key(again) == SPACE.key(trial.genome)


def test_a_study_goes_on_exactly(tmp_path):
    def evaluate(trial):
        assert set(trial.params["lr"]) >= {"shape", "start", "warmup"}
        return {"loss": abs(trial.params["lr"]["start"] - 0.03)}

    def study(where):
        return Study(Genetic(SPACE, population_size=6), "min loss", seed=4, storage=where)

    whole = study(tmp_path / "whole.db")
    whole.enqueue({"lr": 0.01, "optimizer": "adam"})
    whole.run(evaluate, trials=20)
    assert whole.trials[0].params["lr"] == {"shape": "constant", "start": 0.01, "warmup": 0.0}
    part = study(tmp_path / "part.db")
    part.enqueue({"lr": 0.01, "optimizer": "adam"})
    part.run(evaluate, trials=9)
    again = study(tmp_path / "part.db")
    again.run(evaluate, trials=20)
    assert [t.params for t in again.trials] == [t.params for t in whole.trials]
    assert [t.genome for t in again.trials] == [t.genome for t in whole.trials]
    assert again.to_frame()["params_lr"][0] == "0.01 constant"
