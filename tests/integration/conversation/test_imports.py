"""The room is read by the Snakefile too, so it starts light."""

import subprocess
import sys


def test_the_room_imports_nothing_heavy():
    code = (
        "import sys, equipoise.conversation.reading; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'datasketch', 'pandas', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
