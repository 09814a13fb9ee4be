"""Inner loops that numba compiles; for little work they run as plain Python, as loading numba takes longer than it saves.

Both ways give the same bytes: the loops say every operation on float64 values, and numba neither reassociates nor contracts them.
"""

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

LITTLE = 1 << 20
"""Array entries that a process goes through in plain Python before it compiles; about half a second."""
_spent = 0


class Loop:
    """A function of arrays and numbers, of which numba can compile what it uses; called as the function is."""

    def __init__(self, function: FunctionType):
        functools.update_wrapper(self, function)
        self._function, self._ready = function, False

    def __call__(self, *arguments: Any) -> Any:
        if not self._ready and _is_little(arguments):
            return self._plain(*arguments)
        self._ready = True
        return self._compiled(*arguments)

    @functools.cached_property
    def _plain(self) -> Callable[..., Any]:
        """The function, and the loops that it calls, as they are."""
        return self._with(lambda loop: loop._plain)

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        """The compiled function, the loops that it calls compiled with it. Numba keeps what it compiled beside the module."""
        import numba

        return numba.njit(nogil=True, cache=True)(self._with(lambda loop: loop._compiled))

    def _with(self, form: Callable[["Loop"], Callable[..., Any]]) -> FunctionType:
        """The function, with the loops that it calls in a form."""
        own, scope = self._function, self._function.__globals__
        inner = {name: form(scope[name]) for name in own.__code__.co_names if isinstance(scope.get(name), Loop)}
        again = FunctionType(own.__code__, scope | inner, own.__name__, own.__defaults__, own.__closure__)
        again.__module__, again.__qualname__ = own.__module__, own.__qualname__
        return again


def _is_little(arguments: tuple[Any, ...]) -> bool:
    """Whether a call may still run as it is: numba is not here, and this process has not done much so far."""
    global _spent
    if "numba" in sys.modules:
        return False
    _spent += max((getattr(argument, "size", 0) for argument in arguments), default=0)
    return _spent <= LITTLE
