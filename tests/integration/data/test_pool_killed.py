"""prepare_pool writes its pool as rows come: killed on the way, it leaves the pool whole or not at all."""

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq

from equipoise.data import pool, pool_file
from equipoise.data.pool import prepare_pool
from helpers.rows import texts


def test_a_kill_in_the_middle_leaves_nothing_under_the_pools_name(tiny_config, monkeypatch):
    monkeypatch.setattr(pool, "TOKENISED_AT_ONCE", 7)
    monkeypatch.setattr(pool_file, "GROUP_ROWS", 16)
    child = os.fork()
    if not child:  # dies while it writes, or as a failure that the parent sees
        put, done = pool_file.PoolWriter._write, []

        def write(writer):
            put(writer)
            done.append(writer)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        pool_file.PoolWriter._write = write
        try:
            prepare_pool(tiny_config)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    folder = Path(tiny_config.layout.pool).parent
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    prepare_pool(tiny_config)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "pool.parquet"]
    file = pq.ParquetFile(tiny_config.layout.pool)
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 40)
    assert file.read(["id"])["id"].to_pylist() == [row["id"] for row in texts(40)]
