"""A pretraining that was killed goes on to the same weights."""

import signal
import subprocess
import sys

from equipoise.files import file_digest
from equipoise.miniature.pretrain import Pretraining, pretrain

SHORT = Pretraining(steps=3, batch_size=4, warmup_steps=2, threads=1)


def test_a_stopped_pretraining_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.miniature.pretrain.SNAPSHOT_EVERY", 1)
    pretrain(tmp_path / "straight", SHORT, tmp_path / "work-a")
    command = "import equipoise.miniature.pretrain as p; p.SNAPSHOT_EVERY = 1; snapshot = p._snapshot\n"
    command += "def killed(*arguments):\n    snapshot(*arguments)\n    import os; os.kill(os.getpid(), 9)\np._snapshot = killed\n"
    command += f"p.pretrain({str(tmp_path / 'resumed')!r}, p.{SHORT!r}, {str(tmp_path / 'work-b')!r})"
    assert subprocess.run([sys.executable, "-c", command], check=False, capture_output=True).returncode == -signal.SIGKILL
    assert not (tmp_path / "resumed").exists()
    pretrain(tmp_path / "resumed", SHORT, tmp_path / "work-b")
    name = "model.safetensors"
    assert file_digest(tmp_path / "straight" / name) == file_digest(tmp_path / "resumed" / name)
