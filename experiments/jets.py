"""Made-up images of particle jets with a known signal.

These are NOT the data of Vose et al. (2019), section 4.2.2: theirs come from the event generator
Pythia and the detector simulation Delphes, which are not to be had here. What is kept is their
form, sparse images of 64 × 64 pixels and three channels, and the question, signal or background.
What is left of the physics: an event has a number of jets; a jet is a bundle of particles around a
direction; a particle leaves energy in one of two calorimeters, and a track if it is charged.

The signal is known: the two classes differ in nothing but the law of the number of jets (a decay
of heavy particles gives more of them). Total energy, number of particles, directions and widths
of jets have the same law in both, so nothing but the jets as such tells the classes apart, and
`least_error` is exact for whoever counts the jets without a mistake. Jets overlap, so a network
cannot reach it quite.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

SIZE = 64
CHANNELS = 3
#: Jets of an event: a least number, and how many more by a binomial law (trials, probability).
BACKGROUND, SIGNAL = (2, 5, 0.3), (5, 5, 0.6)

PARTICLES = 80.0
#: Stray particles, which belong to no jet.
STRAY = 12.0
#: Of a jet, in pixels.
WIDTH = 1.3
#: Share of the height, from the middle, in which the directions of jets spread (deviation).
SPREAD = 0.18
CHARGED = 0.6
#: Share of charged and of neutral particles that leave their energy in the first calorimeter.
FIRST = (0.2, 0.7)


@dataclass(frozen=True, slots=True)
class Events:
    """Some events.

    Attributes:
        images: ``(events, 3, 64, 64)``: log(1 + energy) in two calorimeters and log(1 + tracks).
        classes: 1 for signal, 0 for background, ``(events,)``.
        jets: How many jets each has, ``(events,)``.
    """

    images: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    jets: npt.NDArray[np.int64]


def law(jets: int, given: tuple[int, int, float]) -> float:
    """Return the probability of a number of jets."""
    least, more, p = given
    k = jets - least
    return comb(more, k) * p**k * (1 - p) ** (more - k) if 0 <= k <= more else 0.0


def least_error() -> float:
    """Return the share of mistakes of the best rule that knows the number of jets."""
    return sum(min(law(n, BACKGROUND), law(n, SIGNAL)) for n in range(32)) / 2


def events(count: int, seed: int) -> Events:
    """Make events, one half of which are signal.

    Args:
        count: How many.
        seed: The same seed gives the same events.
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(count) % 2)
    least, more, p = (np.where(classes, SIGNAL[k], BACKGROUND[k]) for k in range(3))
    jets = (least + rng.binomial(more.astype(int), p)).astype(np.int64)
    images = np.zeros((count, CHANNELS, SIZE, SIZE), np.float32)
    for image, number in zip(images, jets, strict=True):
        _draw(image, int(number), rng)
    return Events(np.log1p(images), classes.astype(np.int64), jets)


def _draw(image: npt.NDArray[np.float32], jets: int, rng: np.random.Generator) -> None:
    """Add the particles of one event to an empty image."""
    across, up = rng.uniform(0, SIZE, jets), rng.normal(SIZE / 2, SPREAD * SIZE, jets)
    bundled, stray = rng.poisson(PARTICLES), rng.poisson(STRAY)
    jet = rng.choice(jets, bundled, p=rng.dirichlet(np.full(jets, 6.0)))
    x = np.concatenate([rng.normal(across[jet], WIDTH), rng.uniform(0, SIZE, stray)])
    y = np.concatenate([rng.normal(up[jet], WIDTH), rng.uniform(0, SIZE, stray)])
    energy = rng.exponential(1.0, len(x))
    charged = rng.random(len(x)) < CHARGED
    calorimeter = (rng.random(len(x)) >= np.where(charged, *FIRST)).astype(int)
    column = np.floor(x).astype(int) % SIZE  # the angle around the beam closes on itself
    row = np.clip(np.floor(y), 0, SIZE - 1).astype(int)
    np.add.at(image, (calorimeter, row, column), energy)
    np.add.at(image, (2, row[charged], column[charged]), 1.0)
