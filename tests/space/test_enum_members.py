"""Members of an Enum as choices: params have the member, genomes and files its name."""

import enum
import json

import pytest

import evotune as et
import helpers_warm
from evotune.analysis.data import prepare
from evotune.errors import SpaceError


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Light(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 8


class Kind(enum.StrEnum):
    SGD = "sgd"
    ADAM = "adam"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


def members():
    return et.Space(
        color=et.Choice(Color),
        size=et.Ordinal(*Size),
        kind=et.Choice(*Kind, weights=[1, 2]),
        access=et.Choice(Access.READ, Access.READ | Access.WRITE),
        fixed=et.Fixed(Color.BLUE),
        x=et.Float(0, 1, when={"color": Color.RED}),
    )


KINDS = {"color": Color, "size": Size, "kind": Kind, "access": Access, "fixed": Color}


def train(trial):
    assert all(isinstance(trial.params[name], kind) for name, kind in KINDS.items())
    return float(trial.params["size"]) + (trial.params["color"] is Color.RED)


def are_members(study):
    return all(isinstance(t.params[n], kind) for t in study.trials for n, kind in KINDS.items())


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_params_have_the_members_in_memory_and_from_a_file(tmp_path, options):
    path = tmp_path / "runs.db"
    with et.Study(et.Genetic(members()), "min loss", storage=path, seed=1) as study:
        study.run(train, trials=8, **options)
        assert study.counts == {"done": 8}
        assert are_members(study)
        json.dumps([dict(t.genome) for t in study.trials])
        params = [t.params for t in study.trials]
    with et.Study(et.Genetic(members()), "min loss", storage=path) as study:
        assert [t.params for t in study.trials] == params
        study.run(train, trials=30)
        assert are_members(study)
        best = study.best.params
        assert study.enqueue(best).number == study.best.number
        assert dict(study.enqueue({**best, "color": Color.BLUE, "access": Access.READ}).params)
        study.report(tmp_path / "page.html")
        study.importance()
        study.to_frame()
    names = {t.params["color"] for t in prepare(study).trials}
    assert names == {"RED", "BLUE"}


def test_a_script_of_its_own_finds_them_in_its_own_study(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import enum, sys\nimport evotune as et\n"
        "class Color(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
        "def train(trial):\n"
        "    return 1.0 if trial.params['c'] is Color.RED else 2.0 / (trial.params['c'] in Color)\n"
        "if __name__ == '__main__':\n"
        "    space = et.Space(c=et.Choice(Color), x=et.Float(0, 1))\n"
        "    study = et.Study(et.Genetic(space), 'min loss', storage='runs.db', seed=1)\n"
        "    study.run(train, trials=int(sys.argv[1]), workers=2)\n"
        "    assert study.counts == {'done': int(sys.argv[1])}, study.trials\n"
        "    assert study.best.params['c'] is Color.RED\n"
    )
    for trials in ("4", "6"):
        done = helpers_warm.run(script, trials, cwd=tmp_path, timeout=100)
        assert done.returncode == 0, done.stderr


def test_conditions_and_seeds_take_members_and_their_names():
    space = members()
    genome = space.complete(
        {"color": Color.RED, "size": 8, "kind": "adam", "access": "READ", "x": 0.5}
    )
    assert genome["color"] == "RED"
    params = space.params(genome)
    assert (params["color"], params["size"], params["kind"]) == (Color.RED, Size.LARGE, Kind.ADAM)
    assert params["access"] is Access.READ
    assert type(params["size"]) is Size
    assert space.complete(params) == genome
    assert "x" not in space.params({**genome, "color": "BLUE"})
    assert et.Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_a_member_of_another_enumeration_is_none_of_the_values():
    domain = et.Choice(Color)
    assert domain.contains(Color.RED)
    assert domain.contains("RED")
    assert not domain.contains(Light.RED)
    with pytest.raises(SpaceError, match="twice"):
        et.Choice(Color.RED, Light.RED)
    with pytest.raises(SpaceError, match="can never be"):
        et.Space(a=domain, b=et.Bool(when={"a": Size.SMALL}))


@pytest.mark.parametrize(
    "bad",
    [b"relu", bytearray(b"x"), object(), (1, 2), {1}, 1j, Access(0)],
    ids=lambda bad: type(bad).__name__,
)
def test_other_objects_are_refused_in_words(bad):
    for kind in (et.Choice, et.Ordinal):
        with pytest.raises(SpaceError, match="strings, numbers"):
            kind("a", bad)
    with pytest.raises(SpaceError, match="strings, numbers"):
        et.Fixed(bad)
    if not isinstance(bad, tuple | set):
        with pytest.raises(SpaceError, match="strings, numbers"):
            et.Float(0, 1, when={"a": bad})
