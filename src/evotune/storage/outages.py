"""Waiting for a database that is away: a server that restarts, a full disk, a lock."""

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger("evotune")

#: Seconds to wait for a database before a run ends with an error.
PATIENCE = 600.0
#: Seconds between two attempts: they double, from the first to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: Seconds between two warnings of one outage.
WARN_EVERY = 60.0

#: How the calling thread spends the seconds between two attempts; None: it waits for nothing.
pause: ContextVar[Callable[[float], None] | None] = ContextVar("pause", default=time.sleep)


class Patience:
    """Attempts a transaction again and again while its database is away.

    Args:
        where: The database, for the warnings.

    Attributes:
        is_spent: True once waiting was given up, or ended by Ctrl-C: whatever is attempted then
            fails at once, until the database answers.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.is_spent = False

    def wait(
        self,
        attempt: Callable[[], T],
        may_pass: Callable[[BaseException], bool],
        limit: float,
        reason: Callable[[BaseException], str],
    ) -> T:
        """Attempt until it succeeds; what it raises last goes through.

        Args:
            attempt: A whole transaction, which may be done twice without harm.
            may_pass: Tells whether waiting may mend an error.
            limit: Seconds in all.
            reason: Returns what an error says.
        """
        import tenacity  # here, as most processes never need it

        sleep = pause.get()
        if sleep is None or self.is_spent:
            return attempt()
        growing = tenacity.wait_exponential(FIRST_PAUSE, max=LONGEST_PAUSE)
        warned: list[float] = []

        def next_pause(state: tenacity.RetryCallState) -> float:
            return max(min(growing(state), limit - (state.seconds_since_start or 0.0)), 0.0)

        def warn(state: tenacity.RetryCallState) -> None:
            now = time.monotonic()
            error = state.outcome.exception() if state.outcome else None
            if error is not None and (not warned or now - warned[-1] >= WARN_EVERY):
                warned.append(now)
                left = limit - (state.seconds_since_start or 0.0)
                log.warning(
                    "nothing can be read from %s or written to it at present (%s); trying again "
                    "for up to %.3g s, while running trials go on and their results are kept in "
                    "memory (Ctrl-C ends the waiting)",
                    self.where,
                    reason(error),
                    left,
                )

        retrying = tenacity.Retrying(
            sleep=sleep,
            retry=tenacity.retry_if_exception(may_pass),
            wait=next_pause,
            stop=tenacity.stop_after_delay(limit),
            before_sleep=warn,
            reraise=True,
        )
        try:
            done = retrying(attempt)
        except BaseException as error:
            self.is_spent = not isinstance(error, Exception) or may_pass(error)
            raise
        if warned:
            after = retrying.statistics["delay_since_first_attempt"]
            log.warning("%s works again, after %.3g s; nothing was lost", self.where, after)
        return done
