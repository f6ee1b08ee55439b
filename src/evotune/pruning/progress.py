"""What a pruning shows while it goes on: bars where someone looks, or a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evotune.analysis.text import duration
from evotune.printing import number, printable
from evotune.study.progress import PATIENCE, Way

#: Seconds between two lines of one part where there is no bar.
PAUSE = 2.0


class Progress:
    """Is told how far a pruning is, and shows nothing of it."""

    def __call__(
        self,
        part: str,
        done: int,
        of: int,
        *,
        loss: Callable[[], float] | None = None,
        best: Callable[[], float] | None = None,
    ) -> None:
        """Note that a step of a part is over.

        Args:
            part: Its name, such as "refinement".
            done: Steps that are over.
            of: All steps.
            loss: Returns the loss of the network as it is now; called only where it is shown.
            best: Returns the best loss so far, instead.
        """

    def say(self, text: str) -> None:
        """Show a sentence."""

    def close(self) -> None:
        """Show nothing any more."""


@contextmanager
def shown(way: Way, title: str) -> Iterator[Progress]:
    """Yield what is to be told how far a pruning is.

    Args:
        way: How it is shown.
        title: Which pruning it is.
    """
    kinds: dict[Way, Callable[[], Progress]] = {
        "bar": lambda: _Bars(title),
        "lines": lambda: _Lines(title),
        "": Progress,
    }
    progress = kinds[way]()
    try:
        yield progress
    finally:
        progress.close()


def _loss_text(
    loss: Callable[[], float] | None = None, best: Callable[[], float] | None = None
) -> str:
    if best is not None:
        return f"best loss {number(best())}"
    return "" if loss is None else f"loss {number(loss())}"


class _Bars(Progress):
    """A bar for each part."""

    def __init__(self, title: str) -> None:
        self._title, self._part, self._looked = title, "", -PATIENCE
        self._bar: Any = None

    def __call__(self, part: str, done: int, of: int, **losses: Any) -> None:
        from tqdm.auto import tqdm  # not needed where nobody looks

        if part != self._part or self._bar is None or done <= self._bar.n:
            self.close()
            self._bar = tqdm(
                desc=f"{self._title}, {part}",
                total=of,
                initial=done - 1,
                unit=" steps",
                dynamic_ncols=True,
            )
            self._part = part
        if done == of or time.monotonic() - self._looked > PATIENCE:
            self._bar.set_postfix_str(_loss_text(**losses), refresh=False)
            self._looked = time.monotonic()
        self._bar.update(done - self._bar.n)

    def say(self, text: str) -> None:
        from tqdm.auto import tqdm

        tqdm.write(printable(text), file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines(Progress):
    """A line now and then, and one at the end of each part."""

    def __init__(self, title: str) -> None:
        self._title, self._began = title, time.monotonic()
        self._last = -PAUSE

    def __call__(self, part: str, done: int, of: int, **losses: Any) -> None:
        now = time.monotonic()
        if done == of or now - self._last >= PAUSE:
            self._last = now
            words = [f"{self._title}, {part}: {done} of {of}", _loss_text(**losses)]
            self.say("  ".join(filter(None, (*words, duration(now - self._began)))))

    def say(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)
