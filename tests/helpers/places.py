"""Where the repository is, and what lies beside it."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("EQUIPOISE_SHARED", REPOSITORY.parent / "shared"))
