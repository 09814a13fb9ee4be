"""What a stage with a fault of its own would leave: an artefact that its manifest vouches for, and that holds what it should not."""

from pathlib import Path

from equipoise.config import Experiment
from equipoise.store.artefact import publish
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import SEAL, read_manifest

PROVENANCE = {SEAL, "kind", "of", "configured", "made_from", "files", "arrays"}


def publish_anew(config: Experiment, kind: str, of: dict[str, object], **said: object) -> None:
    """Publishes an artefact as its files lie there now; said: what its stage says otherwise than before."""
    manifest = Path(KINDS[kind].manifest(config.layout, {name: str(value) for name, value in of.items()}))
    held = read_manifest(manifest, kind)
    kept = {key: value for key, value in held.items() if key not in PROVENANCE}
    publish(config, kind, of, [manifest.parent / name for name in held.get("files", {})], held.get("arrays"), **{**kept, **said})
