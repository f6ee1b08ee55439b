"""What algorithms around other algorithms share: notes inside notes."""

from dataclasses import replace

from evotune.errors import AlgorithmError
from evotune.trial import NOWHERE, Proposal, Trial


def wrap(key: str, which: int, proposal: Proposal) -> Proposal:
    """Return a proposal with the note of a wrapper around that of the algorithm inside.

    Args:
        key: What the wrapper calls the algorithms inside.
        which: Which of them asked.
        proposal: What it proposes.
    """
    return replace(proposal, note={key: which, "note": dict(proposal.note)})


def unwrap(trial: Trial) -> Trial:
    """Return a trial with the note that the algorithm inside has given it."""
    return replace(trial, note=trial.note.get("note", {}))


def disowned(trial: Trial) -> Trial:
    """Return a trial from elsewhere so that no algorithm inside takes it for its own.

    A study may go on with another algorithm than it began with; only what a migrant brings stays
    in the note.
    """
    brought = {k: v for k, v in trial.note.items() if k == "migrant"}
    return replace(trial, origin=NOWHERE, note=brought)


def check_algorithm(owner: str, algorithm: object) -> None:
    """Check what is given as the algorithm inside.

    Args:
        owner: Name of the wrapper in the error message.
        algorithm: What was given.

    Raises:
        AlgorithmError: It is not an algorithm, but for instance a name or a class.
    """
    members = ("ask", "tell", "donors", "space")
    if isinstance(algorithm, type) or not all(hasattr(algorithm, name) for name in members):
        raise AlgorithmError(
            f"{owner} must be an algorithm such as Genetic(space), got {algorithm!r}"
        )
