"""Whole networks: each template joins chains and knows the shapes; params in, a network out.

`rebuild` builds a network from its structure again, without the user's function.
"""

from collections.abc import Mapping
from typing import Any

from evotune.architectures import network
from evotune.architectures.network import Network
from evotune.architectures.templates.autoencoder import Autoencoder
from evotune.architectures.templates.base import Template
from evotune.architectures.templates.image import ImageClassifier
from evotune.architectures.templates.sequence import SequenceModel
from evotune.architectures.templates.tabular import Tabular
from evotune.architectures.templates.translation import SequenceToSequence
from evotune.architectures.templates.two_branch import TwoBranch
from evotune.errors import TaskError

#: Each template by its name.
TEMPLATES: dict[str, type[Template]] = {
    kind.name: kind
    for kind in (
        ImageClassifier,
        SequenceModel,
        Tabular,
        SequenceToSequence,
        Autoencoder,
        TwoBranch,
    )
}


def rebuild(structure: Mapping[str, Any]) -> Network:
    """Build the network of a structure, with new weights.

    Args:
        structure: What `Network.structure` is, also from JSON.

    Raises:
        TaskError: The template is not known to this version, or a block is not known here.
    """
    return template_of(structure)(structure["params"])


def trained(structure: Mapping[str, Any], state: Mapping[str, Any]) -> Network:
    """Return the network of a structure with the weights of a state, in evaluation mode.

    Args:
        structure: What `Network.structure` was, also from JSON.
        state: Its state dict.

    Raises:
        TaskError: The template or a block is not known here, or the state is not that of this
            structure.
    """
    return network.trained(rebuild, structure, state)


def template_of(structure: Mapping[str, Any]) -> Template:
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
    return TEMPLATES[name].of(structure)
