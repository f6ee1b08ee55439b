"""Whole networks: each template joins chains and knows the shapes; params in, a network out.

`rebuild` builds a network from its structure again, without the user's function.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evotune.errors import TaskError

if TYPE_CHECKING:
    from evotune.architectures.network import Network
    from evotune.architectures.templates.base import Template

#: Where each template is defined, by name.
TEMPLATES = {
    "image_classifier": "image.ImageClassifier",
    "sequence_model": "sequence.SequenceModel",
    "tabular": "tabular.Tabular",
    "sequence_to_sequence": "translation.SequenceToSequence",
    "autoencoder": "autoencoder.Autoencoder",
    "two_branch": "two_branch.TwoBranch",
}


def rebuild(structure: Mapping[str, Any]) -> "Network":
    """Build the network of a structure, with new weights.

    Args:
        structure: What `Network.structure` is, also from JSON.

    Raises:
        TaskError: The template is not known to this version, or a block is not known here.
    """
    return template_of(structure)(structure["params"])


def template_of(structure: Mapping[str, Any]) -> "Template":
    """Return the template that a structure was built by.

    Args:
        structure: What `Network.structure` is, also from JSON.

    Raises:
        TaskError: The template is not known to this version.
    """
    parts = structure if isinstance(structure, Mapping) else {}
    name = parts.get("template")
    if not all(isinstance(parts.get(part), Mapping) for part in ("options", "params")):
        hint = (
            "; of JSON text write rebuild(json.loads(text))" if isinstance(structure, str) else ""
        )
        raise TaskError(
            "a structure is what network.structure is, a dict of template, options and params; "
            f"got {structure!r}{hint}"
        )
    if not isinstance(name, str) or name not in TEMPLATES:
        raise TaskError(
            f"there is no template {name!r} in this version of evotune, only "
            f"{', '.join(TEMPLATES)}; install the version that trained the network, or a later one"
        )
    module, kind = TEMPLATES[name].split(".")
    options = {n: tuple(v) if isinstance(v, list) else v for n, v in structure["options"].items()}
    home = import_module(f"evotune.architectures.templates.{module}")
    try:
        template: Template = getattr(home, kind)(**options)
    except TypeError as error:  # an option that another version has
        raise TaskError(
            f"the options of template {name!r} in this structure are not those of this version of "
            f"evotune: {error}; install the version that trained the network, or a later one"
        ) from error
    return template
