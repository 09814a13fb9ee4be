"""How a full disk, or a used-up quota, is recognised, whichever library met it."""

import errno
import os

FULL = (errno.ENOSPC, errno.EDQUOT)
MARKS = (*map(os.strerror, FULL), *(f"os error {code}" for code in FULL), "PytorchStreamWriter failed", "unexpected pos")
"""What safetensors says, and torch.save, which keeps the cause of a failed write to itself."""


def full_disk(error: BaseException | None) -> str | None:
    """What was being written (a path, else `disk`) when an error, or what caused it, came from a full disk; None for other errors."""
    full, path = False, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
        text = str(error)
        full = full or (isinstance(error, OSError) and error.errno in FULL) or any(mark in text for mark in MARKS)
        error = error.__cause__ or error.__context__
    return str(path or "disk") if full else None
