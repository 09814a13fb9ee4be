"""Counter-based hashing: the random numbers of every projection, a pure function of (seed, name, coordinate).

SplitMix64's output function over a 64-bit counter; the counter's start is the SHA-256 of seed, purpose and name. No generator
state, so neither the order of calls nor the device matters (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
"""

import hashlib

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def stream_key(seed: int, purpose: str, name: str) -> int:
    """Start of the stream of (seed, purpose, name): 64 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()[:8], "little")


def words(key: int, start: int, count: int) -> np.ndarray:
    """Words start ... start + count - 1 of a stream, uint64 [count]."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)) * _GAMMA
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def signs(key: int, start: int, count: int) -> np.ndarray:
    """Signs of coordinates start ... start + count - 1: +1 or -1 as int8 [count]; `start` is a multiple of 64.

    Coordinate c takes bit c mod 64 of word c div 64.
    """
    if start % 64:
        raise ValueError(f"start {start} is not a multiple of 64")
    bits = np.unpackbits(words(key, start // 64, -(-count // 64)).astype("<u8").view(np.uint8), bitorder="little", count=count)
    return np.int8(1) - np.int8(2) * bits.astype(np.int8)
