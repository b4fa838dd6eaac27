"""One integer seed for everything random, folded by purpose.

A generator depends on the seed, the purpose and the indices alone, never on what was drawn before: adding a use of
randomness shifts no other, and a resumed run draws what the undisturbed one would have drawn.
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """The random generator for `purpose` ("init", "shuffle", "split", ...), for example the shuffle of one epoch."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *index])))


def key_data(seed: int, purpose: str, *index: int) -> np.ndarray:
    """A raw threefry key, shape (2,) uint32, for what is drawn inside a compiled program (dropout)."""
    return generator(seed, purpose, *index).integers(0, 2**32, size=2, dtype=np.uint32)
