"""ProxyTask: proxies as objectives, so that networks are searched without any training."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from math import isnan
from typing import Any

from torch import nn

from evotune.errors import TaskError
from evotune.protocols import TaskTraits
from evotune.proxies.judge import Proxies
from evotune.proxies.losses import Loss
from evotune.proxies.scoring import FIVE
from evotune.running import RunningTrial
from evotune.trial import Failed


@dataclass(frozen=True, eq=False)
class ProxyTask:
    """An evaluate function whose metrics are the scores of an untrained network.

    A score may be the objective (``"max synflow"``), one of several beside a cost
    (``["max naswot", "min multiply_adds"]``), or the cheap objective of a first search whose best
    params are the ``seeds`` of the next. A trial one of whose scores is NaN has failed.

    Args:
        model: Function of params that returns a new network.
        train: Pair (inputs, targets) of arrays or tensors, see `Proxies`.
        proxies: Which scores; see `evotune.proxies.score`.
        loss: Function of (output, targets); None for one that suits the targets.
        batch_size: Examples, drawn once, that all networks are scored on.

    Raises:
        TaskError: As for `Proxies`.

    Example:
        ``tune(ProxyTask(model=net, train=(x, y), proxies=("synflow",)), space, "max synflow")``
    """

    _: KW_ONLY
    model: Callable[[dict[str, Any]], nn.Module]
    train: tuple[Any, Any] = field(repr=False)
    proxies: str | Sequence[str] = FIVE
    loss: Loss | None = None
    batch_size: int = 16
    _judge: Proxies = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.train, tuple | list) or len(self.train) != 2:
            raise TaskError(
                "train= needs a pair (inputs, targets), such as train=(x, y); got "
                f"{type(self.train).__name__}"
            )
        judge = Proxies(
            self.model,
            *self.train,
            names=self.proxies,
            loss=self.loss,
            batch_size=self.batch_size,
        )
        object.__setattr__(self, "_judge", judge)
        object.__setattr__(self, "train", (judge.inputs, judge.targets))

    @property
    def traits(self) -> TaskTraits:
        """Genomes are made to fit the limits of a template."""
        return self._judge.traits

    def __call__(self, trial: RunningTrial) -> dict[str, float]:
        """Return the scores of a trial's network by name.

        Raises:
            Failed: One is NaN.
            TaskError: The model function can build no network at all.
        """
        scores = self._judge(trial.params)
        missing = [name for name, value in scores.items() if isnan(value)]
        if missing:
            raise Failed(
                f"{', '.join(missing)} cannot be computed for this network; the log says why. "
                "Where it is so for all of them, leave it out of proxies="
            )
        return scores
