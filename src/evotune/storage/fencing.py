"""Who may write to a study: the check that keeps a driver out that has been replaced."""

from datetime import datetime

from evotune.errors import StudyLockedError
from evotune.protocols import Driver


def require_hold(name: str, driver: Driver, holder: Driver | None) -> None:
    """Check that a driver still holds a study.

    Args:
        name: Name of the study.
        driver: Who wants to write.
        holder: Who the storage says drives the study, if anybody.

    Raises:
        StudyLockedError: It is somebody else, or nobody.
    """
    if holder is not None and holder.token == driver.token:
        return
    if holder is None:
        raise StudyLockedError(
            f"study {name!r} is no longer driven by this process, and nothing was written: "
            "its hold was released; acquire the study again before writing to it"
        )
    since = datetime.fromtimestamp(holder.since).astimezone().isoformat(" ", "seconds")
    raise StudyLockedError(
        f"study {name!r} is driven by process {holder.pid} on {holder.host} since {since}, and "
        "nothing was written; end that process, or take the study over from it"
    )
