"""How a full disk is recognised, whichever library met it."""

import errno

MARKS = ("No space left on device", "os error 28", "PytorchStreamWriter failed", "unexpected pos")
"""What safetensors says, and torch.save, which keeps the cause of a failed write to itself."""


def full_disk(error: BaseException | None) -> str | None:
    """What was being written (a path, else `disk`) when an error, or what caused it, came of a full disk; None for other errors."""
    found, path = False, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
        text = str(error)
        found = found or (isinstance(error, OSError) and error.errno == errno.ENOSPC) or any(mark in text for mark in MARKS)
        error = error.__cause__ or error.__context__
    return str(path or "disk") if found else None
