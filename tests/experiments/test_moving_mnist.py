"""Tests of the clips of moving digits: paths, pixels, captions and classes."""

import numpy as np
import pytest
from moving_mnist import (
    BLOCK,
    CLASSES,
    DIGIT,
    FASTEST,
    FRAMES,
    HEIGHT,
    INSIDE,
    TURN,
    WIDTH,
    Clip,
    captions,
    clip,
    clips,
    frames_of,
    reduced,
)

DIGITS = np.zeros((2, DIGIT, DIGIT), np.uint8)
DIGITS[0, 4:24, 10:18] = 200
DIGITS[1, 10:18, 4:24] = 90


def _still(*places: tuple[int, int], images: tuple[int, ...] = (0, 1)) -> Clip:
    path = np.array([places])
    return Clip(images, path, np.zeros_like(path))


# -- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [0.0, 0.1, 0.5])
def test_digits_start_visible_and_move_as_they_say(curve: float) -> None:
    for number in range(60):
        made = clip(7, number, 100, frames=200, curve=curve)
        assert (np.abs(made.places[0]) <= INSIDE).all()
        assert (np.abs(made.places) <= TURN).all()
        assert (np.diff(made.places, axis=0) == made.velocities[1:]).all()
        speeds = np.abs(made.velocities[1:])
        assert speeds.min() >= 1
        assert speeds.max() <= FASTEST


def test_without_curves_a_velocity_changes_at_the_turn_only() -> None:
    made = clip(3, 0, 100, frames=400, curve=0.0)
    speeds = np.abs(made.velocities[1:])
    assert (speeds == speeds[0]).all()
    turned = made.velocities[2:] != made.velocities[1:-1]
    assert turned.any()
    before = made.places[1:-1] + made.velocities[1:-1]  # where it would have gone on to
    assert (turned == (np.abs(before) > TURN)).all()


def test_curves_bend_about_as_often_as_asked() -> None:
    changes = [np.diff(clip(1, n, 100, curve=0.2).velocities[1:], axis=0) for n in range(200)]
    # A change beyond the fastest is left out: from ±2 outwards, half of the changes of half.
    assert np.mean(np.stack(changes) != 0) == pytest.approx(0.2 * 0.7, abs=0.05)


def test_velocities_have_no_favourite_direction() -> None:
    first = np.stack([clip(5, n, 100).velocities[1] for n in range(800)]).reshape(-1)
    values, counts = np.unique(first, return_counts=True)
    assert values.tolist() == [-2, -1, 1, 2]
    assert np.abs(counts / len(first) - 0.25).max() < 0.03


def test_a_clip_depends_on_seed_and_number_alone() -> None:
    one, again = clip(2, 9, 50), clip(2, 9, 50)
    assert one.images == again.images
    assert (one.places == again.places).all()
    others = [clip(2, 10, 50), clip(3, 9, 50)]
    assert all((other.places != one.places).any() for other in others)
    few, many = clips(3, 4, DIGITS), clips(5, 4, DIGITS)
    assert (few.frames == many.frames[:3]).all()


# -- pixels ---------------------------------------------------------------------------------------


def test_a_digit_in_the_middle_is_painted_there() -> None:
    frame = frames_of(_still((0, 0), (50, 22)), DIGITS)[0]
    assert frame.shape == (HEIGHT, WIDTH)
    top, left = (HEIGHT - DIGIT) // 2, (WIDTH - DIGIT) // 2
    assert (frame[top : top + DIGIT, left : left + DIGIT] == DIGITS[0]).all()
    assert (frame[-DIGIT:, -DIGIT:] == DIGITS[1]).all()  # fully visible in the corner


def test_digits_that_meet_are_the_larger_of_both() -> None:
    frame = frames_of(_still((3, 4), (3, 4)), DIGITS)[0]
    top, left = (HEIGHT - DIGIT) // 2 + 4, (WIDTH - DIGIT) // 2 + 3
    assert (frame[top : top + DIGIT, left : left + DIGIT] == DIGITS.max(0)).all()


@pytest.mark.parametrize("place", [(78, 0), (-78, 0), (0, 50), (0, -50)])
def test_a_digit_at_the_turn_is_wholly_outside(place: tuple[int, int]) -> None:
    assert not frames_of(_still(place, place), np.full_like(DIGITS, 255))[0].any()


def test_frames_are_averaged_over_blocks() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH)).astype(np.uint8)
    small = reduced(frames)
    assert small.shape == (2, HEIGHT // BLOCK, WIDTH // BLOCK)
    assert small[1, 2, 3] == round(float(frames[1, 8:12, 12:16].mean()))


# -- captions and classes -------------------------------------------------------------------------


def test_captions_say_where_each_digit_goes() -> None:
    places = np.array([[[0, 0], [49, -5]], [[2, -1], [51, -4]], [[1, 1], [50, -5]]])
    moves = np.concatenate([np.zeros((1, 2, 2), int), np.diff(places, axis=0)])
    made = Clip((0, 1), places, moves)
    assert captions(made, np.array([3, 7])) == [
        [("3", "right", "upwards"), ("7", "disappears")],
        [("3", "left", "downwards"), ("7", "left", "upwards")],
    ]


@pytest.mark.parametrize(
    ("ends", "target"),
    [
        (((5, 5), (1, 2)), 6),  # both right, both downwards
        (((5, -5), (1, -2)), 8),
        (((-5, 5), (-1, 2)), 0),
        (((-5, -5), (1, 2)), 4),
        (((-5, 5), (1, -2)), 4),
    ],
)
def test_the_class_counts_net_moves(ends: tuple[tuple[int, int], ...], target: int) -> None:
    places = np.stack([np.zeros((2, 2), int), np.full((2, 2), -40), np.array(ends)])
    assert Clip((0, 1), places, np.zeros_like(places)).target == target


def test_a_set_has_all_classes_and_the_shapes_it_says() -> None:
    made = clips(300, 1, DIGITS)
    assert made.frames.shape == (300, FRAMES, HEIGHT // BLOCK, WIDTH // BLOCK)
    assert made.frames.dtype == np.uint8
    shares = np.bincount(made.targets, minlength=CLASSES) / 300
    assert (shares > 0).all()
    assert shares.max() == shares[4] < 0.35  # one of two right, one of two upwards
