"""Writing a file whole or not at all."""

import os
from pathlib import Path

from evotune.errors import EvotuneError, StudyError


def write_whole(path: str | Path, text: str, error_type: type[EvotuneError] = StudyError) -> Path:
    """Write a text file so that nobody ever sees half of it; missing folders are made.

    Args:
        path: Where to.
        text: What.
        error_type: What is raised.

    Returns:
        The path that was written.

    Raises:
        EvotuneError: Of that type: the path cannot be written; what stood there is unchanged.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise error_type(
            f"cannot write {str(target)!r}: {error.strerror or error}; "
            "give a path to a file in a folder that you may write to"
        ) from error
    return target
