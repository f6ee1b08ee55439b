"""A domain of one's own goes everywhere that those of the package go."""

import json

import pytest
from hypothesis import strategies as st

import evotune as et
from evotune.algorithms.drifting import Drifting
from evotune.algorithms.estimation import EstimationOfDistribution
from evotune.algorithms.phases import Phases
from evotune.algorithms.prescreened import Prescreened
from evotune.algorithms.racing import Racing
from evotune.algorithms.recipes import Nsga2, Nsga3
from evotune.errors import SpaceError
from evotune.space import Domain, Float, Range, Space
from evotune.space import crossover as crossovers
from evotune.space import mutation as mutations
from evotune.space.refine import Refinement
from evotune.testing.algorithms import sphere
from evotune.testing.domains import DomainContract
from helpers_domains import Power, Share


class TestShare(DomainContract):
    domains = st.builds(Share, st.floats(1e-4, 0.4), st.floats(0.5, 0.999))


class TestPower(DomainContract):
    domains = st.builds(Power, st.integers(0, 12))


SPACE = Space(
    kept=Share(0.05, 0.99),
    kind=et.Choice("a", "b"),
    width=Power(8, when={"kept": Range(0.4)}),
    dropped=Share(0.01, 0.6, when={"kind": "a", "width": (4, 8, 16, 32, 64)}),
    rate=Float(1e-3, 1.0, log=True, when={"kept": Range(high=0.97)}),
)


def genetic(**options):
    return et.Genetic(SPACE, population_size=4, **options)


ALGORITHMS = {
    "random": lambda: et.RandomSearch(SPACE),
    "grid": lambda: et.Grid(SPACE, points=3),
    "genetic": genetic,
    "latin": lambda: genetic(start="latin_hypercube"),
    "self-adaptive": lambda: genetic(self_adaptive=True),
    "refined": lambda: genetic(refinement=Refinement(every=1)),
    "evolution strategy": lambda: et.EvolutionStrategy(SPACE, parents=2, offspring=4),
    "differential": lambda: et.DifferentialEvolution(SPACE, population_size=4),
    "swarm": lambda: et.ParticleSwarm(SPACE, population_size=4),
    "estimation": lambda: EstimationOfDistribution(SPACE, population_size=4),
    "CMA-ES": lambda: et.CmaEs(SPACE, population_size=4),
    "NSGA-II": lambda: Nsga2(SPACE, population_size=4),
    "NSGA-III": lambda: Nsga3(SPACE, population_size=4),
    "hybrid": lambda: et.Hybrid(SPACE, initial=8),
    "population": lambda: et.PopulationBasedTraining(SPACE, population_size=4),
    "islands": lambda: et.Islands([genetic(), et.CmaEs(SPACE, population_size=4)], every=1),
    "halving": lambda: et.SuccessiveHalving(genetic(), maximum=4, eta=2, resume=False),
    "hyperband": lambda: et.Hyperband(genetic(), maximum=4, eta=2, resume=False),
    "racing": lambda: Racing(genetic(), repeats=2),
    "drifting": lambda: Drifting(genetic(), every=4),
    "prescreened": lambda: Prescreened(genetic(), initial=6),
    "phases": lambda: Phases(genetic(), lambda best: et.CmaEs(SPACE, population_size=4), trials=8),
    **{
        type(operator).__name__: lambda operator=operator: genetic(mutation=operator)
        for operator in (
            mutations.UniformReset(1.0),
            mutations.Creep(1.0),
            mutations.Gaussian(1.0),
            mutations.Polynomial(1.0),
            mutations.Perturb(resample=0.5),
        )
    },
    **{
        type(operator).__name__: lambda operator=operator: genetic(crossover=operator)
        for operator in (
            crossovers.KPoint(),
            crossovers.Uniform(),
            crossovers.Segment(),
            crossovers.Blend(),
            crossovers.SimulatedBinary(),
        )
    },
}


def ask_and_tell(study, count):
    for _ in range(count):
        trial = study.ask()
        SPACE.check(trial.genome)
        study.tell(trial, sphere(SPACE, trial.genome))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_searches_it_and_goes_on_from_a_file(name, tmp_path):
    options = {"storage": f"sqlite:///{tmp_path}/runs.db", "name": "own", "seed": 2}
    with et.Study(ALGORITHMS[name](), "min distance", **options) as study:
        ask_and_tell(study, 12)
        assert len({json.dumps(trial.params) for trial in study.trials}) > 3
        genomes = [trial.genome for trial in study.trials]
    with et.Study(ALGORITHMS[name](), "min distance", **options) as study:
        assert [trial.genome for trial in study.trials] == genomes
        ask_and_tell(study, 12)
        assert study.best.values[0] < 1.0


def test_it_has_its_importance_and_its_place_in_the_report(tmp_path):
    study = et.Study(et.RandomSearch(SPACE), "min loss", seed=1)
    study.run(lambda trial: (trial.params["kept"] - 0.9) ** 2, trials=120)
    for method in ("fanova", "ped_anova"):
        assert study.importance(method).genes[0] == "kept"
    assert "dropped" in study.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert study.to_frame()["params_width"].dtype == "Int64"


def test_a_space_with_it_is_read_from_json():
    assert Space.from_json(json.loads(json.dumps(SPACE.to_json()))) == SPACE


def test_an_unknown_kind_tells_to_import_its_module():
    with pytest.raises(SpaceError, match=r"got 'angle'.* once the module that defines it is impor"):
        Space.from_json({"x": {"type": "angle", "low": 0, "high": 1}})


def test_two_classes_of_one_kind_are_refused():
    with pytest.raises(SpaceError, match=r"the kind 'share' belongs to helpers_domains\.Sha"):

        class Other(Domain):
            kind = "share"


def test_a_condition_that_cannot_hold_is_refused():
    for impossible in (0.995, Range(0.995), Range(high=0.01)):
        with pytest.raises(SpaceError, match="'kept' can never be"):
            Space(kept=Share(0.05, 0.99), x=Float(0, 1, when={"kept": impossible}))
    with pytest.raises(SpaceError, match="'width' is 3, which 'width' can never be"):
        Space(width=Power(4), x=Float(0, 1, when={"width": 3}))


def test_a_domain_that_lacks_a_method_says_which_one():
    class Half(Domain):
        ordered = True

        def contains(self, value):
            return value in (0, 1)

        def to_unit(self, value):
            return float(value)

    with pytest.raises(TypeError, match=r"Half.*abstract method.*from_unit"):
        Half()
