"""The command line with chains of layers: the file, the tables, JSON and CSV."""

import json

import pytest

TASK = """
def train(trial):
    layers = trial.params["features"]
    if len(layers) == 4:
        raise RuntimeError("too deep")
    width = sum(layer.get("filters", 0) for layer in layers)
    return {"accuracy": 1 / (1 + abs(width - 60)), "parameters": 10 * width}
"""
FILE = """
[study]
objective = "max accuracy"
trials = 16
seed = 2
[space]
lr = { type = "float", low = 1e-4, high = 1.0, log = true }
features = { type = "chain", min = 1, max = 4, blocks = { conv = { filters = { type = "int", \
low = 8, high = 64, log = true }, kernel = 3, norm = { type = "bool" } }, pool = {} } }
[algorithm]
name = "Genetic"
population_size = 8
[task]
function = "net:train"
"""


@pytest.fixture
def study(run_file):
    return run_file(TASK, FILE)


def test_params_hold_lists_of_records_and_json_does(study, evotune):
    params = json.loads(evotune("best", study, "--json")[1])["params"]
    assert set(params) == {"lr", "features"}
    for layer in params["features"]:
        assert layer == {"block": "pool"} or (
            set(layer) == {"block", "filters", "kernel", "norm"} and layer["kernel"] == 3
        )


def test_the_space_is_shown_with_one_row_for_a_chain(study, evotune):
    code, output, _ = evotune("show", study)
    assert code == 0
    assert "1 to 4 layers of" in output
    assert "conv: filters 8 to 64, log; kernel 3; norm False, True" in output
    assert "features.1.filters" not in output


def test_tables_show_layers_in_short(study, evotune):
    best = json.loads(evotune("best", study, "--json")[1])["params"]["features"]
    first = next(layer for layer in best if layer["block"] == "conv")
    text = f"conv {first['filters']}·3{' norm' * first['norm']}"
    for command in (("best", study), ("trials", study), ("trials", study, "--csv")):
        assert text in evotune(*command)[1]
    assert "features=[" in evotune("trials", study, "--failed")[1]


def test_a_narrow_terminal_wraps_layers(study, evotune, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, output, _ = evotune("trials", study)
    assert code == 0
    assert max(map(len, output.splitlines())) <= 80
    assert "pool" in output


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("{ type = 'chain' }", "a chain needs 'min', a whole number"),
        ("{ type = 'chain', min = 1, max = 2.5 }", "a chain needs 'max', a whole number"),
        ("{ type = 'chain', min = 1, max = 3 }", "a chain needs blocks, a table of tables"),
        ("{ type = 'chain', min = 1, max = 3, block = {} }", "did you mean 'blocks'?"),
        ("{ type = 'chain', min = 1, max = 3, blocks = { conv = 3 } }", "blocks: conv: a block is"),
        (
            "{ type = 'chain', min = 1, max = 3, blocks = { conv = { x = { type = 'imt' } } } }",
            "features: blocks: conv: x: unknown type 'imt'; did you mean 'int'?",
        ),
        (
            "{ type = 'chain', min = 1, max = 3, blocks = { conv = { x = { type = 'int' } } } }",
            "conv: x: Int needs 'low'",
        ),
        ("{ type = 'chain', min = 1, max = 3, blocks = { max = {} } }", "can be named 'max'"),
        ("{ type = 'chain', min = 3, max = 1, blocks = { pool = {} } }", "write Chain(1, 3, ...)"),
        ("{ type = 'chan', min = 1, max = 3, blocks = {} }", "did you mean 'chain'?"),
        (
            "{ type = 'chain', min = 1, max = 3, when = 3, blocks = { pool = {} } }",
            "'when' must be a table",
        ),
    ],
)
def test_mistakes_in_a_chain_are_named(tmp_path, evotune, chain, message):
    (tmp_path / "net.py").write_text(TASK)
    head, _, rest = FILE.partition("features = ")
    after = rest[rest.index("[algorithm]") :]
    (tmp_path / "net.toml").write_text(f"{head}features = {chain}\n{after}")
    code, _, errors = evotune("run", "net.toml")
    assert code != 0
    assert message in errors


def test_a_chain_under_a_condition_is_shown_with_it(tmp_path, evotune):
    (tmp_path / "net.py").write_text("def train(trial): return len(trial.params)")
    condition = "when = { lr = { low = 0.1 } }, blocks"
    weighted = '{ type = "choice", values = ["batch", "none"], weights = [3, 1] }'
    file = FILE.replace("blocks", condition).replace('{ type = "bool" }', weighted)
    (tmp_path / "net.toml").write_text(file.replace("= 16", "= 8"))
    assert evotune("run", "net.toml")[0] == 0
    shown = evotune("show", tmp_path / "net.db")[1]
    assert "0.1 <= lr" in shown
    assert "norm batch, none (weights 3, 1)" in shown
