"""The documentation site, built by Sphinx: `make docs`. Nothing is fetched from the network."""

import re
from pathlib import Path
from types import ModuleType

import evotune
from evotune.names import PUBLIC

HOME = "https://github.com/evotune/evotune"
HERE = Path(__file__).parent

project = "evotune"
author = "The evotune developers"
copyright = "2026, the evotune developers. Apache-2.0"  # noqa: A001  (Sphinx's name)
version = release = evotune.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "py:obj"  # `Study` in a docstring is a link where there is such a page

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of a dataclass are documented once, as parameters of it

html_theme = "pydata_sphinx_theme"
html_title = "evotune"
html_static_path = ["_static"]
html_css_files = ["evotune.css"]
html_copy_source = html_show_sourcelink = False
html_sidebars = {page: [] for page in ("index", "howto", "moving", "gallery", "policy")}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "github_url": HOME,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

#: The pages of the reference: title, a sentence, and the public names. One that is on no page comes
#: on the last.
REFERENCE = {
    "studies": (
        "Studies",
        "A study holds the trials of one search.",
        "tune Study open auto Objective WeightedSum Constraint MedianStopping PercentileStopping "
        "DominationStopping Checkpoints",
    ),
    "spaces": (
        "Spaces",
        "What may be searched: genes and their ranges.",
        "Space Float Int Ordinal Choice Bool Fixed Chain Scheduled Range crossover mutation refine",
    ),
    "algorithms": (
        "Algorithms",
        "Search methods: each takes a space, or other algorithms.",
        "Hybrid Genetic EvolutionStrategy DifferentialEvolution ParticleSwarm CmaEs "
        "EstimationOfDistribution Nsga2 Nsga3 RandomSearch Grid PopulationBasedTraining "
        "GrowingInterval SuccessiveHalving Hyperband Islands Phases Racing Drifting Prescreened "
        "recipes selection survival rates topology exploitation",
    ),
    "trials": (
        "Trials",
        "What your function receives, and the records that a study keeps.",
        "RunningTrial Trial Proposal Outcome Failure Failed Checkpoint",
    ),
    "tasks": (
        "Tasks and schedules",
        "Ready-made functions to evaluate, and hyperparameters over epochs.",
        "SupervisedTask CommandTask Schedule",
    ),
    "structures": (
        "Structures",
        "Networks made of genes, what they cost, and scores of untrained ones.",
        "image_classifier sequence_model tabular autoencoder sequence_to_sequence two_branch block "
        "build_chain rebuild Cost cost ProxyTask proxies",
    ),
    "pruning": (
        "Pruning",
        "Weights removed from trained networks.",
        "prune Pruned Sweep PruningTask compact",
    ),
    "running": (
        "Executors",
        "Where trials run.",
        "InlineExecutor ProcessExecutor StackedExecutor",
    ),
    "integrations": (
        "Other libraries",
        "Each is an extra, such as `pip install evotune[optuna]`, and loaded when it is used.",
        "EvolutionSearchCV Energy callbacks integrations",
    ),
    "reports": (
        "Reports and figures",
        "What came of a study, as pictures and pages.",
        "report plot",
    ),
    "extending": (
        "Errors, interfaces, suites",
        "For those who catch errors, or add parts of their own.",
        "EvotuneError errors protocols testing",
    ),
}


def _entry(name: str) -> list[str]:
    """Return the lines of one public name: a class, a function, or a module with its parts."""
    found = getattr(evotune, name)
    if isinstance(found, type):
        options = ["   :members:", "   :inherited-members: BaseException, tuple, Protocol"]
        return [f".. autoclass:: evotune.{name}", *options, ""]
    if callable(found):
        return [f".. autofunction:: evotune.{name}", ""]
    lines = [f".. module:: evotune.{name}", "", f"``et.{name}``", "-" * (len(name) + 7), ""]
    lines += [found.__doc__.splitlines()[0], ""]
    for part in dir(found):
        inside = getattr(found, part)
        if part in PUBLIC:  # it stands on its own
            continue
        if isinstance(inside, ModuleType) and part in ("optuna", "lightning", "huggingface"):
            lines += [f".. automodule:: evotune.{name}.{part}", "   :members:", ""]
        if isinstance(inside, type):
            lines += [f".. autoclass:: evotune.{name}.{part}", "   :members:", ""]
        elif callable(inside):
            lines += [f".. autofunction:: evotune.{name}.{part}", ""]
    return [*lines, ".. currentmodule:: evotune", ""]


def _write_reference() -> None:
    """Write a page for each group of public names into ``reference/``, which git ignores."""
    named = {name for _, _, names in REFERENCE.values() for name in names.split()}
    title, sentence, names = REFERENCE["extending"]
    rest = " ".join(sorted(set(PUBLIC) - named))
    REFERENCE["extending"] = (title, sentence, f"{names} {rest}")
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for page, (title, sentence, names) in REFERENCE.items():
        lines = [title, "=" * len(title), "", sentence, "", ".. currentmodule:: evotune", ""]
        for name in names.split():
            lines += _entry(name)
        (folder / f"{page}.rst").write_text("\n".join(lines), "utf-8")
    toc = ["# Reference", "", "All public names, as `import evotune as et` gives them.", ""]
    for page, (title, sentence, names) in REFERENCE.items():
        links = ", ".join(f"`{name}`" for name in names.split())
        toc += [f"- [{title}]({page}.rst). {sentence} {links}"]
    toc += ["", "```{toctree}", ":hidden:", "", *REFERENCE, "```", ""]
    (folder / "index.md").write_text("\n".join(toc), "utf-8")


def _write_gallery() -> None:
    """Write ``gallery.md``: each program of ``examples/`` with its docstring as the heading."""
    lines = ["# Gallery", "", "Short programs that the tests run; they need no download.", ""]
    for path in sorted((HERE.parent / "examples").iterdir()):
        if path.suffix not in {".py", ".toml"}:
            continue
        kind = {".py": "python", ".toml": "toml"}[path.suffix]
        text = path.read_text("utf-8")
        first = text.split('"""')[1] if kind == "python" else text.splitlines()[0].lstrip("#")
        said = first.strip()
        lines += [f"## {path.name}", "", said, "", f"```{{literalinclude}} ../examples/{path.name}"]
        lines += [f":language: {kind}", "```", ""]
    (HERE / "gallery.md").write_text("\n".join(lines), "utf-8")


def _is_of_others(app, what, name, found, skip, options):
    """Leave out what a class of ours inherits from another library, which documents it."""
    found = getattr(found, "fget", found)
    home = getattr(found, "__module__", None) or ""
    return True if callable(found) and home.startswith(("sklearn.", "transformers.")) else None


def _links_of_the_repository(app, docname, source):
    """Let links out of ``docs/`` lead to the repository's page: the files also read well there."""

    def link(found: re.Match) -> str:
        path = found[1]
        kind = "tree" if (HERE.parent / path.split("#")[0]).is_dir() else "blob"
        return f"]({HOME}/{kind}/main/{path})"

    source[0] = re.sub(r"\]\(\.\./([^)]+)\)", link, source[0])


def _public_instead_of_home(app, env, node, contnode):
    """Link ``evotune.study.study.Study``, as annotations say it, to `evotune.Study`."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in PUBLIC:
        return None
    domain = env.get_domain("py")
    found = domain.objects.get(f"evotune.{name}")
    if found is None:
        return None
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"evotune.{name}", node, contnode
    )


def setup(app):
    """Write the pages that are made of code, and mend links."""
    _write_reference()
    _write_gallery()
    app.connect("autodoc-skip-member", _is_of_others)
    app.connect("source-read", _links_of_the_repository)
    app.connect("missing-reference", _public_instead_of_home)
