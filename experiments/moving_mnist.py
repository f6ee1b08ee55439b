"""Captioned Moving MNIST, hard version: clips of two digits that move, meet and leave the frame.

The clips follow the generator of the data set (Yicheng Shen, "captioned-moving-mnist"), which
Wasudeorao and Prasad (2024) use; its own clips are not to be had here. As there: a canvas of 72 ×
128 pixels, two digits that start fully visible, constant velocities whose sign turns once a digit
is wholly outside, and the pixelwise maximum where digits meet. Different from there:

- velocities are ±1 or ±2 with equal chances (there 0 becomes 1: right and down are likelier);
- ``curve`` bends the paths, which the paper describes as non-linear: the chance, for each frame and
  component, that a velocity changes by 1;
- frames are averaged over 4 × 4 pixels, to 18 × 32, so that they can be learned on a CPU;
- the target of a classifier: which of nine classes a clip is, by how many of its two digits moved
  to the right between the first and the last frame, and how many upwards. Whether a word occurs in
  the captions would be trivial to guess.

Clip n of seed s depends on nothing but (s, n).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH, DIGIT = 72, 128, 28
#: Largest distance of a digit's middle from that of the canvas, across and down: at the start and
#: as long as it is fully visible, and where its velocity turns.
INSIDE, TURN = (50, 22), (78, 50)
#: Border around the canvas into which digits move.
MARGIN = 56
BLOCK = 4
FRAMES = 20
DIGITS = 2
FASTEST = 2
CLASSES = (DIGITS + 1) ** 2

Pixels = npt.NDArray[np.uint8]
#: Places or velocities of the digits in each frame, ``(frames, digits, 2)``: across, down.
Paths = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip.

    Attributes:
        images: Which two digit images move.
        places: Shift of each digit from the middle of the canvas in pixels, right and down.
        velocities: Pixels that each digit has moved to get into a frame; 0 in the first.
    """

    images: tuple[int, ...]
    places: Paths
    velocities: Paths

    @property
    def target(self) -> int:
        """3 · (digits whose net move is to the right) + (digits whose net move is upwards)."""
        right, down = (self.places[-1] - self.places[0]).T
        return int((DIGITS + 1) * (right > 0).sum() + (down < 0).sum())


def clip(seed: int, number: int, images: int, *, frames: int = FRAMES, curve: float = 0.1) -> Clip:
    """Draw one clip.

    Args:
        seed: Seed of the set.
        number: Number of the clip in it.
        images: How many digit images there are to draw from.
        frames: Length.
        curve: Chance that a component of a velocity changes by 1 in a frame.
    """
    rng = np.random.default_rng([seed, number])
    chosen = tuple(int(k) for k in rng.integers(images, size=DIGITS))
    limit = np.array(INSIDE)
    place = rng.integers(-limit, limit + 1, size=(DIGITS, 2))
    velocity = rng.integers(1, FASTEST + 1, size=(DIGITS, 2)) * rng.choice((-1, 1), (DIGITS, 2))
    places, velocities = [place], [np.zeros_like(place)]
    for _ in range(frames - 1):
        velocity = _bent(velocity, curve, rng)
        velocity = np.where(np.abs(place + velocity) > TURN, -velocity, velocity)
        place = place + velocity
        places.append(place)
        velocities.append(velocity)
    return Clip(chosen, np.stack(places), np.stack(velocities))


def _bent(velocity: Paths, curve: float, rng: np.random.Generator) -> Paths:
    """Change some components by 1, past 0, and within the fastest."""
    change = rng.choice((-1, 1), velocity.shape) * (rng.random(velocity.shape) < curve)
    changed = velocity + change
    changed = np.where(changed == 0, change, changed)
    return np.where(np.abs(changed) > FASTEST, velocity, changed)


def frames_of(drawn: Clip, digits: Pixels) -> Pixels:
    """Paint a clip on the full canvas, ``(frames, 72, 128)``.

    Args:
        drawn: The clip.
        digits: All digit images, ``(images, 28, 28)``.
    """
    shape = (len(drawn.places), HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
    canvas = np.zeros(shape, np.uint8)
    left, top = MARGIN + (WIDTH - DIGIT) // 2, MARGIN + (HEIGHT - DIGIT) // 2
    for frame, places in zip(canvas, drawn.places, strict=True):
        for image, (across, down) in zip(drawn.images, places, strict=True):
            row, column = top + down, left + across
            window = frame[row : row + DIGIT, column : column + DIGIT]
            np.maximum(window, digits[image], out=window)
    return canvas[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def reduced(frames: Pixels) -> Pixels:
    """Average over blocks of 4 × 4 pixels: ``(frames, 18, 32)``."""
    count, height, width = frames.shape
    blocks = frames.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return blocks.mean((2, 4), dtype=np.float32).round().astype(np.uint8)


def captions(drawn: Clip, labels: npt.NDArray[np.uint8]) -> list[list[tuple[str, ...]]]:
    """Return the caption of every frame after the first: what each digit does.

    A caption is (digit, ``right`` or ``left``, ``upwards`` or ``downwards``), or (digit,
    ``disappears``) once a digit is not fully visible.

    Args:
        drawn: The clip.
        labels: Digit of every image.
    """
    names = [str(labels[image]) for image in drawn.images]
    return [
        [
            _caption(name, place, velocity)
            for name, place, velocity in zip(names, places, velocities, strict=True)
        ]
        for places, velocities in zip(drawn.places[1:], drawn.velocities[1:], strict=True)
    ]


def _caption(name: str, place: Paths, velocity: Paths) -> tuple[str, ...]:
    if (np.abs(place) > INSIDE).any():
        return name, "disappears"
    across, down = velocity
    return name, "right" if across > 0 else "left", "upwards" if down < 0 else "downwards"


@dataclass(frozen=True, slots=True)
class Clips:
    """A set of clips.

    Attributes:
        frames: ``(clips, 20, 18, 32)``.
        targets: Classes ``(clips,)``, 0 to 8.
    """

    frames: Pixels
    targets: npt.NDArray[np.int64]


def clips(count: int, seed: int, digits: Pixels, *, curve: float = 0.1) -> Clips:
    """Make a set of clips.

    Args:
        count: How many.
        seed: Seed of the set.
        digits: The digit images that may appear, ``(images, 28, 28)``.
        curve: As in `clip`.
    """
    drawn = [clip(seed, number, len(digits), curve=curve) for number in range(count)]
    frames = np.stack([reduced(frames_of(each, digits)) for each in drawn])
    return Clips(frames, np.array([each.target for each in drawn]))
