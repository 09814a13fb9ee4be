"""Tests of the tests (`make mutants`): a seeded sample of mutants, each run against the unit tests of its module's package.

Every mutant runs in a fork of this process, which has imported what is heavy and nothing of equipoise; the changed module is given to
the child's import in memory, no file is changed. Its tests run cheapest first until one fails: first those that reach the changed line,
then the rest of their files. Verdicts are written as they come to results.json, from which the next call goes on.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from helpers.places import REPOSITORY
from mutation.sample import PACKAGES, SOURCE, Mutant, draw

RESULTS = Path(__file__).with_name("results.json")
HEAVY = ("hypothesis", "numpy", "peft", "pyarrow.parquet", "safetensors.torch", "torch", "transformers", "zarr")
"""Imported before forking; numba is not, as its presence changes what compiles."""
SECONDS, SLOWER = 60, 10
"""A mutant has run into an endless loop after so many times its tests' processor time, and this much."""
KILLED = ("killed", "endless", "died")
"""Verdicts of mutants that a test has noticed."""
REMOVING = {"os.remove", "os.rmdir", "os.rename", "shutil.rmtree"}


class _Changed(MetaPathFinder):
    """Imports one module from a changed text, under the path of the file that it stands for."""

    def __init__(self, module: str, text: str):
        self.module, self.text = module, text

    def find_spec(self, name: str, path: object, target: object = None):
        if name != self.module:
            return None
        file, text = SOURCE.joinpath(*name.split(".")).with_suffix(".py"), self.text
        if not file.exists():
            file = SOURCE.joinpath(*name.split("."), "__init__.py")

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str):
                return compile(text, str(file), "exec", dont_inherit=True)

        return spec_from_file_location(name, file, loader=Loader(name, str(file)))


class _Chosen:
    """Orders the tests, notes how long each takes and, where asked, which lines it reaches."""

    def __init__(self, first: list[str] | None = None, coverage: object = None):
        self.first = {name: number for number, name in enumerate(first or [])}
        self.coverage, self.seconds, self.failed = coverage, {}, None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
        items.sort(key=lambda item: self.first.get(item.nodeid, len(self.first)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        if self.coverage:
            self.coverage.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid


def _guarded(event: str, arguments: tuple) -> None:
    """Keeps a mutant from harming what is not its own: it signals no other process and removes nothing but its own files."""
    if event == "os.kill" and arguments[1] != 0 and arguments[0] != os.getpid():
        raise PermissionError("a mutant signals another process")
    if event in REMOVING and arguments[-1] in (None, -1):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if not path.startswith((tempfile.gettempdir(), "/dev/shm")):
            raise PermissionError(f"a mutant removes {path}")


def _tests(files: list[str], plugin: _Chosen) -> int:
    """pytest's status for these files, run in a folder of their own."""
    os.chdir(tempfile.mkdtemp(prefix="mutant-"))
    where = ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(REPOSITORY), "--basetemp", "temp"]
    in_order = ["--randomly-dont-reorganize", "--randomly-seed=1", "-p", "no:xdist"]
    quiet = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
    return int(pytest.main([*where, *in_order, *quiet, *(str(REPOSITORY / file) for file in files)], plugins=[plugin]))


def _in_child(work, processor_seconds: float | None = None) -> tuple[str, dict]:
    """What `work` returns, run in a fork; and how the fork ended: `done`, `endless` or `died`."""
    place = Path(tempfile.mkdtemp(prefix="mutants-"))
    child = os.fork()
    if child == 0:
        os.setsid()
        tempfile.tempdir = os.environ["TMPDIR"] = str(place)
        os.environ["NUMBA_CACHE_DIR"] = str(place / "numba")  # its own cache tells loops apart by code, not by constants
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        if processor_seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (int(processor_seconds), int(processor_seconds) + 5))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1), os.dup2(silence, 2)
        try:
            (place / "answer.json").write_text(json.dumps(work()))
        finally:
            os._exit(0)
    ends = time.monotonic() + 20 * (processor_seconds or 360)  # one that sleeps uses no processor
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > ends:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.05)
    answer = place / "answer.json"
    found = json.loads(answer.read_text()) if answer.exists() else {}
    shutil.rmtree(place, ignore_errors=True)
    if found:
        return "done", found
    return ("endless" if os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) in (signal.SIGXCPU, signal.SIGKILL) else "died"), {}


def reach(package: str) -> dict:
    """The package's tests as they are: seconds by test, and by `module:line` the tests that reach it."""

    def work() -> dict:
        import coverage

        folder = str(SOURCE / "equipoise" / package)
        measure = coverage.Coverage(data_file=None, include=[f"{folder}/*"], config_file=False)
        measure.start()
        plugin = _Chosen(coverage=measure)
        status = _tests([f"tests/unit/{package}"], plugin)
        measure.stop()
        if status:
            return {"failed": plugin.failed or f"pytest's status {status}"}
        data, lines = measure.get_data(), {}
        for file in data.measured_files():
            module = ".".join(Path(file).relative_to(SOURCE).with_suffix("").parts)
            for line, tests in data.contexts_by_lineno(file).items():
                lines[f"{module}:{line}"] = [test for test in tests if test]
        return {"seconds": plugin.seconds, "lines": lines}

    how, found = _in_child(work)
    if how != "done" or "failed" in found:
        sys.exit(f"the tests of {package} fail as they are ({how}): {found.get('failed')}; a mutant could not be told from that")
    return found


def verdict(mutant: Mutant, reached: dict) -> dict:
    """How a mutant ended: killed (by which test), endless, survived, or not reached by any test."""
    seconds, package = reached["seconds"], mutant.module.split(".")[1]
    first = sorted(reached["lines"].get(f"{mutant.module}:{mutant.line}", []), key=lambda test: seconds.get(test, 0.0))
    files = sorted({test.split("::")[0] for test in first} or {f"tests/unit/{package}"})
    expected = sum(value for test, value in seconds.items() if test.split("::")[0] in files)
    text = str(mutant.source)

    def work() -> dict:
        sys.addaudithook(_guarded)
        sys.meta_path.insert(0, _Changed(mutant.module, text))
        plugin = _Chosen(first)
        status = _tests(files, plugin)
        return {"status": status, "by": plugin.failed}

    began = time.monotonic()
    how, found = _in_child(work, SECONDS + SLOWER * expected)
    if how == "done":
        how = "killed" if found["status"] else "survived" if first else "not reached"
    return {"verdict": how, "by": found.get("by"), "seconds": round(time.monotonic() - began, 1)}


def table(results: dict) -> str:
    """Kill rates by package and module."""
    lines, total = [], Counter()
    for package in PACKAGES:
        own = {name: each for name, each in results.items() if each["module"].split(".")[1] == package}
        for module in [*sorted({each["module"] for each in own.values()}), package]:
            counts = Counter(each["verdict"] in KILLED for each in own.values() if package in (module,) or each["module"] == module)
            lines.append(f"{module:48} {counts[True]:4} of {counts.total():4} {counts[True] / max(1, counts.total()):7.1%}")
            total.update(counts if module == package else {})
    return "\n".join([*lines, f"{'all':48} {total[True]:4} of {total.total():4} {total[True] / max(1, total.total()):7.1%}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--again", action="store_true", help="run survivors again, after tests were added")
    chosen = parser.parse_args()
    for name in HEAVY:
        importlib.import_module(name)
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    mutants = {mutant.name: mutant for mutant in draw(chosen.count, chosen.seed)}
    results = {name: old[name] for name in mutants if name in old}
    waiting = [
        mutant for name, mutant in mutants.items() if name not in results or (chosen.again and results[name]["verdict"] not in KILLED)
    ]
    waiting.sort(key=lambda mutant: mutant.name)  # a part of the sample is a sample too
    reached, ends = {}, time.monotonic() + 60 * chosen.minutes
    for number, mutant in enumerate(waiting):
        if time.monotonic() > ends:
            break
        package = mutant.module.split(".")[1]
        if package not in reached:
            reached[package] = reach(package)
        end = verdict(mutant, reached[package])
        facts = {key: getattr(mutant, key) for key in ("module", "function", "line", "before", "after")}
        results[mutant.name] = facts | end
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        print(f"{number + 1} of {len(waiting)}: {end['verdict']} {mutant.module}:{mutant.line} {end['seconds']} s", flush=True)
    print(table(results))
    print(f"{len(results)} of {len(mutants)} mutants have a verdict; survivors stand in {RESULTS.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
