"""Discrete values as places 0, 1, 2, ..., cells of the unit interval, in exact integers."""

import hashlib
import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

#: A float has 2**53 steps in the unit interval. Beyond this many places each would get too few of
#: them: there the digits that a float lacks are made up (`made_up`).
FINE = 2**44


@dataclass(frozen=True, slots=True)
class Lattice:
    """Places of equal width.

    Args:
        count: How many places; any whole number from 1 up.
    """

    count: int

    def to_unit(self, place: int) -> float:
        """Return the middle of a place in [0, 1]."""
        return (2 * place + 1) / (2 * self.count)

    def from_unit(self, unit: float) -> int:
        """Return the place in which a point of [0, 1] lies."""
        count = self.count
        if count <= FINE:
            return min(int(unit * count), count - 1)
        step = min(int(unit * 2**53), 2**53 - 1)
        first, end = count * step >> 53, count * (step + 1) >> 53
        return first + made_up(unit, end - first)

    def draw(self, rng: np.random.Generator) -> int:
        """Draw a place, each exactly as likely as the others."""
        return self.from_unit(rng.random()) if self.count <= FINE else below(self.count, rng)

    def move(self, place: int, delta: float) -> int:
        """Move by a share of all places, however small; mirrored at both ends."""
        return self.fold(place + share_of(delta, self.count))

    def between(self, first: int, second: int, share: float) -> int:
        """Return the place a share of the way from one to another, also before or beyond them."""
        return self.fold(first + share_of(share, second - first))

    def fold(self, place: int) -> int:
        """Reflect a place at both ends."""
        place %= 2 * self.count
        return min(place, 2 * self.count - 1 - place)

    def next(self, place: int, direction: int) -> int:
        """Return the next place, or that on the other side at an end."""
        moved = place + direction
        if 0 <= moved < self.count:
            return moved
        return min(max(place - direction, 0), self.count - 1)


def below(count: int, rng: np.random.Generator) -> int:
    """Draw a whole number from 0 to ``count - 1``, each exactly as likely, of any size."""
    bits = (count - 1).bit_length()
    while True:
        drawn = int.from_bytes(rng.bytes(-(-bits // 8)), "little") >> (-bits % 8)
        if drawn < count:
            return drawn


def made_up(number: float, count: int) -> int:
    """Return a pseudorandom whole number below ``count``, always the same for the same float."""
    if count <= 1:
        return 0
    digest = hashlib.shake_128(struct.pack("<d", number)).digest(count.bit_length() // 8 + 8)
    return int.from_bytes(digest, "little") % count


def share_of(share: float, width: int) -> int:
    """Return a share of a width, rounded; digits beyond a float's precision are made up."""
    grain = 0 if share in (0.0, 1.0) else int(Fraction(math.ulp(share)) * abs(width))
    return round(Fraction(share) * width) + made_up(share, grain)
