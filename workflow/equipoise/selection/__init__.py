"""Selectors: from an attribution matrix to a ranking of the pool, and from a ranking to a selection.

`select` and `Selection` are the public interface; they load numpy on first use, so that the package can be imported in milliseconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.selection.interface import Selection, select

__all__ = ["Selection", "select"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from equipoise.selection import interface

        return getattr(interface, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
