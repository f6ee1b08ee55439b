"""What may be searched, and how a genome is varied."""

from evotune.space.conditions import Range
from evotune.space.domains import Bool, Choice, Domain, Fixed, Float, Int, Ordinal
from evotune.space.space import Space, needed_space

__all__ = [
    "Bool",
    "Choice",
    "Domain",
    "Fixed",
    "Float",
    "Int",
    "Ordinal",
    "Range",
    "Space",
    "needed_space",
]
