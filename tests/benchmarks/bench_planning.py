"""What planning pays to see what is gone: python tests/benchmarks/bench_planning.py [--shards 10000] [--folder /tmp].

Lays out the manifests and chunk files (empty, of the right sizes) of an epoch's gradients, a chunk of seven arrays a shard, and times the
look at names and sizes that `snakemake` and `snakemake -n` take when the jobs are planned; the goal at 10,000 shards is at most 10 s.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import yaml
from timing import timed

from equipoise.cluster.unmade import unmade
from equipoise.config import Experiment
from equipoise.config_file import parse_config
from equipoise.experiment import shards
from equipoise.store.artefact import publish, relative
from equipoise.store.gradients import COLUMNS
from equipoise.store.stored_array import StoredArray, chunk_name

REPOSITORY = Path(__file__).resolve().parents[2]
EXPERIMENT = REPOSITORY / "workflow" / "experiments" / "llama3-8b.yaml"
WIDTHS = {"directions": 8192, "last_token": 4096, "position_weighted": 4096, **dict.fromkeys(COLUMNS)}


def lay_out(config: Experiment) -> None:
    """Manifests and chunks of all shards at the last epoch."""
    epoch = config.warmup.epochs
    store = Path(config.layout.pool_gradients(epoch))
    for chunk, shard in enumerate(shards(config)):
        manifest = Path(config.layout.pool_gradients_manifest(epoch, shard))
        arrays = {}
        for name, width in WIDTHS.items():
            entry = {"dtype": COLUMNS.get(name, "float16"), "width": width, "first": chunk, "crc32c": ["00000000"]}
            arrays[relative(manifest, store / name)] = entry
            file = store / name / chunk_name(chunk, width)
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "wb") as opened:
                opened.truncate(StoredArray.chunk_size(entry))
        publish(config, "pool_gradients", {"epoch": epoch, "shard": shard}, arrays=arrays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        values = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8")) | {"results": str(folder)}
        values["pool"] |= {"shards": options.shards}
        values["jobs"] = {**values.get("jobs", {}), "assembly": 1}
        config = parse_config(values)
        lay_out(config)
        wall, cpu = timed(lambda: unmade(config))
        found = unmade(config)
    finally:
        shutil.rmtree(folder)
    files = options.shards * len(WIDTHS)
    print(f"{options.shards:,} manifests, {files:,} chunks: {wall:.1f} s (CPU {cpu:.1f}; goal at 10,000: 10 s), {len(found)} gone")


if __name__ == "__main__":
    main()
