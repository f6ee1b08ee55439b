"""The package as a whole: light to import, every public name there, layers kept."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import evotune

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchmetrics", "scipy", "pandas", "sklearn", "plotly", "sqlalchemy", "loky")


def modules_after(code: str) -> set[str]:
    code += "; import sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import evotune").intersection(HEAVY)


def test_a_study_in_memory_needs_no_torch_and_no_database():
    code = (
        "import evotune as et; et.tune(lambda t: t.params['x'], "
        "et.Space(x=et.Float(0, 1)), 'min loss', trials=3)"
    )
    assert not modules_after(code).intersection({"torch", "sqlalchemy", "plotly", "pandas"})


def test_a_task_imports_torchmetrics_only_where_it_computes_with_it():
    """It takes longer to import than torch, in each process of a study."""
    pytest.importorskip("torch")
    code = (
        "import evotune as et, torch; "
        "from evotune.training.metrics import find_metrics, measure; "
        "measure(find_metrics(None, 'cross_entropy'), torch.eye(3), torch.arange(3))"
    )
    assert not modules_after(f"{code}; et.SupervisedTask").intersection({"torchmetrics", "pandas"})


def test_ranks_and_searches_by_proxies_need_no_torch():
    code = (
        "import evotune as et; et.proxies.rank([{'a': 1.0}]); "
        "et.Hybrid(et.Space(x=et.Float(0, 1)), proxies=len)"
    )
    assert "torch" not in modules_after(code)


@pytest.mark.parametrize("name", evotune.__all__)
def test_every_public_name_is_there(name):
    assert getattr(evotune, name) is not None
    assert name in dir(evotune)


MODULES = [
    name
    for name in evotune.__all__
    if isinstance(getattr(evotune, name), ModuleType) and name != "integrations"
]


@pytest.mark.parametrize("name", MODULES)
def test_completion_offers_what_a_public_module_defines(name):
    module = getattr(evotune, name)
    for offered in dir(module):
        assert not offered.startswith("_")
        owner = getattr(getattr(module, offered), "__module__", f"{module.__name__}.")
        assert owner.startswith((module.__name__, "evotune.analysis."))
    assert dir(module)


def test_integrations_are_imported_when_they_are_used():
    names = {path.stem for path in (ROOT / "src/evotune/integrations").iterdir()}
    assert dir(evotune.integrations) == sorted(n for n in names if not n.startswith("__"))
    loaded = modules_after("import evotune as et; dir(et.integrations)")
    assert "evotune.integrations" in loaded
    assert not loaded.intersection({*HEAVY, "optuna", "lightning", "evotune.study.study"})
    code = "import evotune as et; et.integrations.sklearn.EvolutionSearchCV is et.EvolutionSearchCV"
    assert "evotune.integrations.sklearn" in modules_after(code)
    with pytest.raises(AttributeError, match="no attribute 'keras'"):
        _ = evotune.integrations.keras


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Genetics'"):
        _ = evotune.Genetics


def test_the_note_of_a_proposal_is_private_to_its_algorithm():
    """What others may read is `Trial.origin`; what stores trials hands notes on."""
    handing_on = {"study/engine.py", "storage/tables.py", "integrations/optuna.py"}
    named_alike = {"running.py", "trial.py"}  # `RunningTrial.note` is the user's
    package = ROOT / "src/evotune"
    readers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\.note\b", path.read_text())
    }
    readers = {r for r in readers if not r.startswith(("algorithms/", "testing/"))}
    assert readers <= handing_on | named_alike


PAGES = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/comparison.md",
    "docs/decisions.md",
    "docs/faults.md",
    "docs/guide.md",
    "docs/policy.md",
    "docs/pruning.md",
    "docs/structures.md",
    "docs/references.md",
    "experiments/README.md",
]


def test_nobody_but_the_domains_asks_for_the_kind_of_a_gene():
    package = ROOT / "src/evotune"
    asks = re.compile(r"isinstance\([^)]*\b(Float|Int|Ordinal|Choice|Bool|Fixed)\b")
    asking = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "domains" not in path.relative_to(package).parts and asks.search(path.read_text())
    }
    assert not asking


def test_papers_are_named_by_title_authors_and_year():
    """Never by a number of our own, in code, names or messages."""
    number = re.compile(r"\bP[1-5]\b|_p[1-5]\b")
    folders = ("src", "benchmarks", "experiments", "examples")
    numbered = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if number.search(path.read_text())
    }
    assert not numbered


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [
        t for t in targets if "://" not in t and not (ROOT / page).parent.joinpath(t).exists()
    ]
    assert not missing
