"""What may be searched, and how a genome is varied."""

from evotune.space.chain import Chain
from evotune.space.conditions import Range
from evotune.space.domains import Bool, Choice, Domain, Fixed, Float, Int, Ordinal
from evotune.space.scheduled import Scheduled
from evotune.space.space import Space, needed_space

__all__ = [
    "Bool",
    "Chain",
    "Choice",
    "Domain",
    "Fixed",
    "Float",
    "Int",
    "Ordinal",
    "Range",
    "Scheduled",
    "Space",
    "needed_space",
]
