"""What the stages between gradients and report take as the pool grows: python tests/benchmarks/bench_scale.py
[--rows 16384 32768 65536] [--dimension 1024] [--folder /tmp].

Makes a pool of so many rows with a gradient store of one epoch (--dimension x 2 bytes a row) and 350 validation examples, and runs plan,
assembly, sealing, every selector's ranking and selection, and the report, each by its own command in a process of its own. Prints wall
and processor seconds and the peak memory of each (libraries and start included), how many times as long it takes as numpy needs to read
the same files (the store for assembly, else the matrix), how all of it grows with the rows (the slope of logarithms, and a straight line),
and what these lines come to from 10^5 to 10^9 rows. A million rows take 2 GB of store, 1.4 GB of matrix and about 1 GB beside them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
MIB, GIB = 2**20, 2**30
SIZES = tuple(10**power for power in range(5, 10))


class Cost(NamedTuple):
    """Of a process: wall and processor seconds, peak resident bytes."""

    wall: float
    cpu: float
    peak: float


def run(words: list[str]) -> tuple[Cost, str]:
    """Runs a command to its end; what it took, and what it printed. Ends this program where it fails.

    A child's peak begins at what its parent held: this process loads nothing that is large.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(words, stdout=out, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, told):
            file.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: status {process.returncode}\n{told.read()[-4000:]}")
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024), out.read()


def made(folder: Path, rows: int, dimension: int) -> dict[str, str]:
    """Makes the experiment in a process of its own: paths of its configuration, store and matrix, and its selectors."""
    program = (
        "import json, sys; from pathlib import Path; from helpers.large_experiment import BUDGET, make_experiment\n"
        "config = make_experiment(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))\n"
        "layout = config.layout\n"
        "print(json.dumps({'config': layout.config, 'store': layout.pool_gradients(1), 'matrix': layout.matrix('influence'), "
        "'selectors': config.selectors, 'budget': str(BUDGET)}))"
    )
    return json.loads(run([sys.executable, "-c", program, str(folder), str(rows), str(dimension)])[1])


def read(folder: str) -> tuple[int, float, float]:
    """Bytes, wall and processor seconds of reading all files below a folder by numpy."""
    program = (
        "import sys, time; from pathlib import Path; import numpy as np\n"
        "files = sorted(path for path in Path(sys.argv[1]).rglob('*') if path.is_file())\n"
        "start, cpu = time.perf_counter(), time.process_time()\n"
        "size = sum(np.fromfile(path, np.uint8).size for path in files)\n"
        "print(size, time.perf_counter() - start, time.process_time() - cpu)"
    )
    size, wall, cpu = run([sys.executable, "-c", program, folder])[1].split()
    return int(size), float(wall), float(cpu)


def stages(paths: dict[str, str]) -> dict[str, tuple[list[str], str]]:
    """Command of every stage, and which folder it reads."""
    own = ["--config", paths["config"]]
    found = {
        "plan": (["plan", paths["config"]], ""),
        "assembly": (["assemble_attribution", *own, "--shard", "0"], "store"),
        "seal": (["seal_attribution", *own], "matrix"),
    }
    for name in paths["selectors"]:
        found[f"rank {name}"] = (["rank", *own, "--selector", name], "" if name == "random" else "matrix")
    for name in paths["selectors"]:
        found[f"select {name}"] = (["select_budget", *own, "--selector", name, "--budget", paths["budget"]], "matrix")
    return found | {"report": (["report", *own], "matrix")}


def measured(rows: int, dimension: int, where: str) -> dict[str, Cost]:
    """Runs all stages on a pool of so many rows, and prints what each took."""
    folder = Path(tempfile.mkdtemp(dir=where))
    try:
        start = time.perf_counter()
        paths = made(folder, rows, dimension)
        print(f"{rows:,} rows, k={dimension:,}, made in {time.perf_counter() - start:.0f} s", flush=True)
        print(f"  {'stage':30} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'MB/s':>7} {'wall / read':>11} {'CPU / read':>10}")
        costs, plain = {}, {}
        for name, (words, reads) in stages(paths).items():
            costs[name], _ = run([sys.executable, "-m", "equipoise", *words])
            if reads and reads not in plain:
                plain[reads] = read(paths[reads])  # of the matrix: once assembly has made it
            wall, cpu, peak = costs[name]
            line = f"  {name:30} {wall:8.2f} {cpu:8.2f} {peak / MIB:9.0f}"
            if reads:
                size, *least = plain[reads]
                line += f" {size / 1e6 / wall:7.0f} {wall / least[0]:11.1f} {cpu / least[1]:10.1f}"
            print(line, flush=True)
        for name, (size, wall, cpu) in plain.items():
            print(f"  numpy reads the {name}, {size / 1e9:.2f} GB, in {wall:.2f} s (CPU {cpu:.2f}), {size / 1e6 / wall:,.0f} MB/s")
        return costs
    finally:
        shutil.rmtree(folder)


def grown(costs: dict[int, dict[str, Cost]]) -> None:
    """Prints how costs grow with the rows, and what straight lines through them come to."""
    import numpy as np

    rows = np.array(sorted(costs), float)
    print("growth: slopes of logarithms (wall, CPU, peak); lines: start + slope for each million rows")
    lines = {}
    for name in costs[int(rows[0])]:
        values = np.array([costs[int(count)][name] for count in rows])
        slopes = np.polyfit(np.log(rows), np.log(values), 1)[0]
        lines[name] = np.polyfit(rows / 1e6, values, 1)
        (wall, cpu, peak), (wall_0, cpu_0, peak_0) = lines[name]
        told = f"wall {wall_0:6.2f} + {wall:7.2f} s, CPU {cpu_0:6.2f} + {cpu:7.2f} s, peak {peak_0 / MIB:6.0f} + {peak / MIB:6.0f} MiB"
        print(f"  {name:30} {' '.join(f'{slope:5.2f}' for slope in slopes)}   {told}")
    print("by these lines: processor seconds, peak GiB")
    print(f"  {'stage':30} " + " ".join(f"{size:>21,}" for size in SIZES))
    for name, (slope, start) in lines.items():
        cells = [start + slope * size / 1e6 for size in SIZES]
        print(f"  {name:30} " + " ".join(f"{cell[1]:12,.0f} {cell[2] / GIB:8.2f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[16_384, 32_768, 65_536])
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    print(f"load average {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d %H:%M')}")
    costs = {rows: measured(rows, options.dimension, options.folder) for rows in sorted(set(options.rows))}
    if len(costs) > 1:
        grown(costs)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
