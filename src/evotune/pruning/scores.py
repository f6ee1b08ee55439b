"""Scores of weights as one formula, of which published scores are corners.

score_ij = log|w_ij| + α_in log in_j + α_out log out_i + α_x (log x_j - mean) + α_g log g_i + o_l

in and out are the synaptic flow into column j and from row i on (`evotune.pruning.flow`), x_j the
root mean square of what column j reads, g_i that of the loss's gradient for row i, and o_l an
offset of layer l. With (α_in, α_out, α_x, α_g) = (0, 0, 0, 0) it is the magnitude, (1, 1, 0, 0)
SynFlow, (0, 0, 1, 0) Wanda, (0, 0, 1, 1) a diagonal second-order score.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from evotune.pruning.flow import Flow


@dataclass(frozen=True, slots=True)
class Activity:
    """What happens in a layer on the calibration examples.

    Attributes:
        inputs: Root mean square of what each column reads, ``(groups, columns)``.
        gradients: Root mean square over examples of the gradient of the loss of one example for
            each row, ``(groups, rows)``; None where there is no loss.
    """

    inputs: Tensor
    gradients: Tensor | None


@dataclass(frozen=True, slots=True)
class Score:
    """The formula with its coefficients.

    Attributes:
        into: α_in.
        out: α_out.
        inputs: α_x.
        gradients: α_g.
        offsets: o_l of each layer by name; 0 where there is none.
    """

    into: float = 0.0
    out: float = 0.0
    inputs: float = 0.0
    gradients: float = 0.0
    offsets: Mapping[str, float] = field(default_factory=dict)

    @property
    def flows(self) -> bool:
        """Whether it needs the flow."""
        return bool(self.into or self.out)

    @property
    def needs_activity(self) -> bool:
        """Whether it needs to see examples."""
        return bool(self.inputs or self.gradients)

    def __call__(
        self, name: str, weights: Tensor, flow: Flow | None, activity: Activity | None
    ) -> Tensor:
        """Return the scores of a layer's weights ``(groups, rows, columns)``; larger stays."""
        score = weights.double().abs().log() + self.offsets.get(name, 0.0)
        if flow is not None:
            score = score + self.into * _log(flow.into).unsqueeze(1)
            score = score + self.out * _log(flow.out).unsqueeze(2)
        if activity is not None and self.inputs and bool(activity.inputs.any()):
            seen = _log(activity.inputs.double())
            seen = seen - seen[activity.inputs > 0].mean()  # some pixels are always dark
            score = score + self.inputs * seen.unsqueeze(1)
        if activity is not None and activity.gradients is not None and self.gradients:
            score = score + self.gradients * _log(activity.gradients.double()).unsqueeze(2)
        return score


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(1e-300).log()


MAGNITUDE = Score()
SYNFLOW = Score(into=1.0, out=1.0)
WANDA = Score(inputs=1.0)
DIAGONAL = Score(inputs=1.0, gradients=1.0)
MIX = Score(into=0.6, out=0.5, inputs=0.3, gradients=0.5)
#: With flows that count for more, a unit with few weights loses them: fewer units are left, each
#: with more weights.
NARROW = Score(into=1.8, out=1.5, inputs=0.3, gradients=0.5)
