"""The check that prevents a driver that was replaced from writing to its former study."""

from datetime import datetime

from evotune.errors import StudyLockedError
from evotune.protocols import Driver


def require_hold(name: str, driver: Driver, holder: Driver | None) -> None:
    """Check that a driver still holds a study.

    Args:
        name: Name of the study.
        driver: The driver that wants to write.
        holder: The driver of the study according to the storage, or None.

    Raises:
        StudyLockedError: Another driver, or none, holds the study.
    """
    if holder is not None and holder.token == driver.token:
        return
    if holder is None:
        raise StudyLockedError(
            f"study {name!r} is no longer driven by this process, and nothing was written: "
            "it was released; open the study again before writing to it"
        )
    if (holder.host, holder.pid) == (driver.host, driver.pid):
        raise StudyLockedError(
            f"study {name!r} is driven by another Study object of this process, which was opened "
            "later, and nothing was written: use that one, or close() it and open the study again"
        )
    since = datetime.fromtimestamp(holder.since).astimezone().isoformat(" ", "seconds")
    raise StudyLockedError(
        f"study {name!r} is driven by process {holder.pid} on {holder.host} since {since}, and "
        "nothing was written; end that process, or take the study over from it"
    )
