"""(study seed, trial number) -> random streams that do not depend on what else ran."""

import hashlib
import secrets

import numpy as np


def fresh_seed() -> int:
    """Return a seed in [0, 2**31) from the operating system."""
    return secrets.randbits(31)


def generator(seed: int, number: int) -> np.random.Generator:
    """Return the stream from which an algorithm draws when it proposes trial ``number``."""
    return np.random.default_rng((seed, number))


def trial_seed(seed: int, number: int) -> int:
    """Return the seed in [0, 2**31) that the evaluation of trial ``number`` receives."""
    # The third word keeps it apart from the stream that `generator` gives to the algorithm.
    return int(np.random.SeedSequence((seed, number, 1)).generate_state(1)[0]) >> 1


def run_seed(seed: int, arm: str, run: int, step: int) -> int:
    """Return the seed in [0, 2**31) of a step of a run of an arm, whatever else is trained."""
    digest = hashlib.sha256(f"{seed}\n{run}\n{step}\n{arm}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
