"""Several scores of one network, on one mini-batch."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from evotune.checks import did_you_mean
from evotune.errors import TaskError
from evotune.proxies.examples import examples_of
from evotune.proxies.losses import Loss
from evotune.proxies.passes import Measure, measured
from evotune.proxies.scores import grad_norm, jacob_cov, naswot, size, snip, synflow, zico

MEASURES: dict[str, Measure] = {
    "naswot": naswot.measure,
    "zico": zico.measure,
    "synflow": synflow.measure,
    "jacob_cov": jacob_cov.measure,
    "params": size.measure_params,
    "multiply_adds": size.measure_multiply_adds,
    "snip": snip.measure,
    "grad_norm": grad_norm.measure,
}
#: The five that rank the cells of NAS-Bench-201 best together.
FIVE = ("naswot", "zico", "synflow", "jacob_cov", "params")


def score(
    module: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    names: str | Sequence[str] = FIVE,
    loss: Loss | None = None,
) -> dict[str, float]:
    """Return scores of an untrained network by name; of each, larger is better.

    All are measured on one mini-batch, whose two halves are run forwards and backwards once. The
    network, its gradients, statistics and mode, and the random state stay as they are; the same
    network gets the same scores again. A score that cannot be computed, or is not finite, is NaN,
    and the log says why.

    Args:
        module: The network: any ``nn.Module`` of one argument. Of a tuple that it returns, as LSTM
            layers do, only the first tensor counts.
        inputs: One mini-batch ``(examples, ...)``, as an array or tensor, or a dict of them for a
            network that takes one; 16 examples are enough.
        targets: ``(examples, ...)``: whole numbers are classes, others are regressed.
        names: Which scores, out of ``naswot``, ``zico``, ``synflow``, ``jacob_cov``, ``params``,
            ``multiply_adds``, ``snip``, ``grad_norm``.
        loss: Function of (output, targets). By default cross-entropy of classes, binary
            cross-entropy where there is a single output, and else the mean squared error.

    Raises:
        TaskError: An unknown name, no network, no loss, or examples that are not at least two pairs
            of inputs and targets.

    Example:
        ``score(network, x[:16], y[:16], names=("naswot", "zico", "synflow"))``
    """
    measures = {name: MEASURES[name] for name in checked_names(names)}
    return measured(measures, module, examples_of(inputs, targets), loss)


def checked_names(names: Any) -> tuple[str, ...]:
    """Return names of scores, also of a single one.

    Raises:
        TaskError: One is unknown, or there is none.
    """
    given = (names,) if isinstance(names, str) else names
    if not isinstance(given, Sequence) or not given:
        raise TaskError(
            f'names of proxies are needed, such as ("naswot", "zico"); got {names!r}. Known: '
            f"{', '.join(MEASURES)}"
        )
    for name in given:
        if name not in MEASURES:
            raise TaskError(
                f"there is no proxy {name!r}{did_you_mean(str(name), MEASURES) or '.'} "
                f"Known: {', '.join(MEASURES)}"
            )
    return tuple(dict.fromkeys(given))
