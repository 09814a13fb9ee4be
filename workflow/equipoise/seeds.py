"""Seeds derived from the config's one seed and the purpose they serve: never from time, order or job count."""

import hashlib

LARGEST_SEED = 2**32 - 1
"""What numpy, torch and transformers all take."""


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 31-bit seed that depends on `seed` and the words of `purpose` alone."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
