"""Weights across shapes: a child starts from what a parent of another structure has learned.

`inherit` walks along both networks and carries a map of the current channels (`maps`). Layers are
aligned by equal blocks in order (`align`); what becomes of each is the rule of its kind: `weights`
(linear, convolution, embedding), `norms`, `recurrent`, `attention`, `passing` (activations, pools),
`sequence` (modules in order) and `branches` (skips, several inputs or outputs). `rules` lists the
three questions that a rule answers, and what holds for a module without one; `statistics` sets
normalisations by one batch; `record` says what became of each layer.
"""

from evotune.architectures.inherit.maps import ChannelMap
from evotune.architectures.inherit.record import Inherited
from evotune.architectures.inherit.start import inherit

__all__ = ["ChannelMap", "Inherited", "inherit"]
