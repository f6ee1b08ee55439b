"""Train trials of one task together, as one model whose tensors have an axis of members."""

from collections.abc import Callable, Sequence
from itertools import batched
