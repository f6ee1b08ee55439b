"""Tests of the harness: what methods are given, what is recorded, what the tables say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import methods
import numpy as np
import pytest
import records
import run
import scale
import table
from peer_spaces import configspace, grown, plain
from recorder import Recorder
from yahpo import HeldOutError

import evotune as et


class Hill:
    """A conditional space in which every call is checked."""

    name = "hill"
    fidelity = ("epoch", 1, 9)
    space = et.Space(
        rate=et.Float(1e-3, 1.0, log=True, when={"deep": True, "kind": "b"}),
        deep=et.Bool(when={"kind": ("b", "c")}),
        width=et.Int(1, 512, log=True),
        depth=et.Int(1, 9),
        kind=et.Choice("a", "b", "c"),
        size=et.Ordinal(16, 32, 64),
    )

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []

    def value(self, params: Mapping[str, Any], *, epoch: float = 9) -> float:
        self.space.check(self.space.complete(params))
        assert set(params) == set(self.space.params(self.space.complete(params)))
        self.seen.append(params)
        return 0.1 * params["depth"] + params.get("rate", 1.0) + 1 / epoch

    def values(self, many: Sequence[Mapping[str, Any]]) -> Any:
        return np.array([0.1 * p["depth"] + p.get("rate", 1.0) + 1 / 9 for p in many])


@pytest.fixture(autouse=True)
def _no_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed here."""
    monkeypatch.setattr(methods, "_warmed", methods._search)


@pytest.mark.parametrize("method", ["random", "Genetic", "auto", *methods.PEERS])
def test_every_method_spends_its_budget_on_active_genes(method: str) -> None:
    if not methods.is_installed(method):
        pytest.skip("not installed")
    hill = Hill()
    found = methods.minimise(method, hill, 12, seed=1)
    assert len(found.curve) == 12
    assert method == "dehb" or len(found.values) == 12
    assert found.curve[-1] == pytest.approx(min(found.values))
    assert found.cpu_seconds >= 0
    assert len({"rate" in params for params in hill.seen}) == 2


@pytest.mark.parametrize("method", ["random", "Genetic:population_size=6", "optuna-tpe"])
def test_a_seed_repeats_a_run(method: str) -> None:
    if not methods.is_installed(method):
        pytest.skip("not installed")
    first, again, other = (methods.minimise(method, Hill(), 20, seed) for seed in (3, 3, 4))
    assert first.values == again.values != other.values


def test_options_and_recipes_by_text() -> None:
    built = methods.build("Genetic:population_size=7,start=random", Hill.space, 50)
    assert built.population_size == 7
    assert type(methods.build("dynamic_hyperparameters", Hill.space, 50)) is et.Genetic
    with pytest.raises(et.EvotuneError, match="there is no algorithm"):
        methods.build("Genetics", Hill.space, 50)


def test_budgets_are_refused_where_every_evaluation_is_a_full_one() -> None:
    with pytest.raises(ValueError, match="gives each trial a budget"):
        methods.minimise("PopulationBasedTraining", Hill(), 5, 0)


def test_genes_are_suggested_after_those_they_depend_on() -> None:
    asked: list[str] = []
    values = {"kind": "b", "deep": True}

    def suggest(name: str, domain: Any) -> Any:
        asked.append(name)
        return values.get(name, domain.from_unit(0.5))

    assert set(grown(Hill.space, suggest)) == set(Hill.space.names)
    assert asked.index("kind") < asked.index("deep") < asked.index("rate")
    values["kind"] = "a"
    assert set(grown(Hill.space, suggest)) == {"width", "depth", "kind", "size"}


def test_configspace_has_the_same_conditions() -> None:
    pytest.importorskip("ConfigSpace")
    for config in configspace(Hill.space, seed=0).sample_configuration(60):
        Hill().value(plain(config))


def test_a_curve_is_the_best_so_far() -> None:
    recorder = Recorder(Hill(), 3)
    genome = Hill.space.sample(np.random.default_rng(0)) | {"kind": "a"}
    for depth in (5, 2, 7, 1):
        assert not recorder.is_over or depth == 1
        recorder(Hill.space.params(genome | {"depth": depth}))
    assert recorder.values == pytest.approx([1.5 + 1 / 9, 1.2 + 1 / 9, 1.7 + 1 / 9])
    assert recorder.curve() == pytest.approx([1.5 + 1 / 9, 1.2 + 1 / 9, 1.2 + 1 / 9])


def test_cheap_evaluations_cost_their_share_and_count_by_their_full_score() -> None:
    recorder = Recorder(Hill(), 2)
    genome = Hill.space.params(Hill.space.sample(np.random.default_rng(0)) | {"kind": "a"})
    for depth, epoch in ((4, 3), (2, 3), (3, 3), (9, 9)):
        recorder(genome | {"depth": depth}, epoch=epoch)
    assert recorder.spent == pytest.approx(2.0)
    # After one full evaluation the best of 3 epochs; then whatever was trained for all 9.
    assert recorder.curve() == pytest.approx([1.2 + 1 / 9, 1.9 + 1 / 9])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scale, "RUNS", tmp_path)
    monkeypatch.setattr(records, "RUNS", tmp_path)
    return tmp_path


def test_regret_is_one_at_the_median_and_zero_at_the_best_of_random(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "POINTS", 10_000)
    scale.measure(Hill())
    rng = np.random.default_rng(0)
    values = Hill().values([Hill.space.sample(rng) for _ in range(scale.POINTS)])
    curve = [float(np.median(values)), float(values.min()), 0.0]
    assert scale.regrets(curve, "hill")[:2] == pytest.approx([1.0, 0.0])
    assert scale.regrets(curve, "hill")[2] < 0


def test_runs_are_made_once_and_again_when_the_code_is_new(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "problems", lambda *_, **__: [Hill()])
    monkeypatch.setattr(run, "_made", lambda jobs, _: ((job, run._make(job)) for job in jobs))

    def made(*options: str) -> str:
        words = ["--set", "lcbench", "--methods", "random", "Genetic", "--seeds", "2"]
        assert run.main([*words, "--evaluations", "5", *options]) == 0
        return capsys.readouterr().out

    assert "4 runs to make" in made()
    assert "0 runs to make" in made()
    monkeypatch.setattr(records, "source", lambda method: "new" if method == "Genetic" else "")
    assert "0 runs to make" in (out := made())
    assert "--again repeats them: Genetic" in out
    assert "2 runs to make" in made("--again")
    assert "0 runs to make" in made("--again")
    stored = records.read(records.path_of("lcbench", "Genetic", held_out=False))
    assert {key.seed for key in stored} == {0, 1}
    assert all(record.source == "new" for record in stored.values())
    direct = methods.minimise("Genetic", Hill(), 5, 1).curve
    assert stored[records.Key("hill", 1, 5)].curve == pytest.approx(direct, rel=1e-6)
    table.main(["--set", "lcbench", "--evaluations", "5", "--at", "5"])
    assert "Genetic" in capsys.readouterr().out
    table.main(["--set", "lcbench", "--evaluations", "5", "--tasks", "3945"])
    assert "no runs" in capsys.readouterr().out


def test_held_out_tasks_need_the_flag_and_a_place_of_their_own(runs: Path) -> None:
    with pytest.raises(HeldOutError):
        run.main(["--set", "lcbench", "--methods", "random", "--tasks", "167149"])
    assert not list(runs.iterdir())
    paths = {records.path_of("lcbench", "random", held_out=held_out) for held_out in (True, False)}
    assert len(paths) == 2


def test_a_failed_run_is_told_and_not_kept(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "problems", lambda *_, **__: [Hill()])
    monkeypatch.setattr(run, "_made", lambda jobs, _: ((job, run._make(job)) for job in jobs))
    words = ["--set", "lcbench", "--methods", "Nothing", "random", "--seeds", "1"]
    assert run.main([*words, "--evaluations", "3"]) == 1
    assert "FAILED Nothing on hill, seed 0" in capsys.readouterr().err
    assert [path.stem for path in (runs / "lcbench").iterdir()] == ["random"]


def _results(finals: Mapping[tuple[str, int], float]) -> table.Results:
    return table.Results({pair: np.array([1.0, value]) for pair, value in finals.items()}, 0.0, 0)


def test_tables_compare_only_what_both_have() -> None:
    pairs = [(task, seed) for task in "ab" for seed in range(4)]
    good = _results({pair: 0.1 * k for k, pair in enumerate(pairs)})
    bad = _results({pair: 0.1 * k + 0.5 + 0.01 * k for k, pair in enumerate(pairs[:6])})
    ranks, count = table.mean_ranks([bad, good], 2)
    assert (ranks.tolist(), count) == ([2.0, 1.0], 6)
    assert table.mean_ranks([bad, good], 1)[0].tolist() == [1.5, 1.5]
    against = table.duel(good, bad, 2)
    assert (against.pairs, against.wins, against.losses) == (6, 6, 0)
    assert against.p == pytest.approx(2 / 2**6)
    assert against.p_tasks == pytest.approx(2 / 2**2)
    assert table.duel(good, bad, 1).p == 1.0


def test_spread_tells_tasks_from_seeds() -> None:
    curves = _results({("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 6.0, ("b", 1): 6.0}).curves
    mean, tasks, seeds = table.spread(curves, 2)
    assert mean == 4.0
    assert tasks == pytest.approx(np.std([2.0, 6.0], ddof=1))
    assert seeds == pytest.approx(np.sqrt(2) / 2)
