"""What `pip install equipoise` leaves out, and the extra that brings it: `'equipoise[pipeline,report]'` is the whole program."""

import re
from importlib.metadata import PackageNotFoundError, requires

ALL = "pipeline,report"
_EXTRA = re.compile(r"""([\w.-]+).*;.*extra == ['"](\w+)['"]""")


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """One line for a module that an extra would have brought; None for any other, which is a fault and not a user's mistake."""
    module = (error.name or "").partition(".")[0]
    if (extra := _extras().get(_plain(module))) is None:
        return None
    wanted = ALL if extra in ALL.split(",") else extra
    return f"{module} is not installed; write  pip install 'equipoise[{wanted}]'"


def _extras() -> dict[str, str]:
    """Package -> extra, by what the installed distribution says of itself; a package of several extras has its first."""
    try:
        lines = requires("equipoise") or []
    except PackageNotFoundError:  # run from a folder, without an installation
        return {}
    named = [match.groups() for match in map(_EXTRA.match, lines) if match]
    return {_plain(package): extra for package, extra in reversed(named)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
