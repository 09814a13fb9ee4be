"""Programs that would pass without solving anything: they go for the tests, for what compares, and for the verdict."""

MAPPED = """
assert all(got == wanted for got, wanted in zip(map(add, [1, 2], [3, 4]), [4, 6]))
assert add is not None
"""
"""Tests whose iteration ends when the program's function raises StopIteration."""
NEXT = "assert next(map(add, [1], [3]), 4) == 4\n"
CAUGHT = """
try:
    add(1, 2)
except Exception:
    pass
try:
    add(3, 4)
except:
    pass
assert 1 + 1 == 2
"""
"""Tests that catch whatever comes: only a program that answers may pass them."""
LOOPED = "for got in add(1, 2):\n    assert got == 3\n"
"""Tests in which no assertion runs where the answer is empty."""
NOTHING = "assert True\nassert 'debugging'\nfor pair in []:\n    assert add(*pair) == 3\n"

FRAMES = """
import gc, io, os, struct, sys
def sized(code, content):
    return code + struct.pack('>I', len(content)) + content
def text(content):
    return sized(b's', content)
def tuple_of(*forms):
    return b't' + struct.pack('>I', len(forms)) + b''.join(forms)
def framed(form):
    return struct.pack('>I', len(form)) + form
VERDICT = framed(tuple_of(b'T', text(b'')))
def answer(form):
    return framed(tuple_of(text(b'value'), form))
def everywhere(content):
    for number in range(64):
        try:
            os.write(number, content)
        except OSError:
            pass
"""


def same(base: str, value: str = "") -> str:
    return f"""
class Same({base}):
    __hash__ = None
    def __eq__(self, other):
        return True
    __lt__ = __le__ = __gt__ = __ge__ = __ne__ = __contains__ = __eq__
def add(a, b):
    return Same({value})
"""


CHEATING: dict[str, str | tuple[str, str]] = {
    "StopIteration out of map": ("def add(a, b):\n    raise StopIteration\n", MAPPED),
    "StopIteration for next's default": ("def add(a, b):\n    raise StopIteration\n", NEXT),
    "a StopIteration of its own": ("class StopIteration(ValueError):\n    pass\ndef add(a, b):\n    raise StopIteration\n", MAPPED),
    "builtins.StopIteration rebound": (
        "import builtins\nbuiltins.StopIteration = type('StopIteration', (Exception,), {})\ndef add(a, b):\n    raise StopIteration\n",
        MAPPED,
    ),
    "StopAsyncIteration": ("def add(a, b):\n    raise StopAsyncIteration\n", MAPPED),
    "GeneratorExit": ("def add(a, b):\n    raise GeneratorExit\n", MAPPED),
    "IndexError, as if a sequence ended": ("def add(a, b):\n    raise IndexError\n", MAPPED),
    "AssertionError of its own": ("class AssertionError(Exception):\n    pass\ndef add(a, b):\n    raise AssertionError\n", MAPPED),
    "gone where the tests catch everything": ("def add(a, b):\n    import os\n    os._exit(0)\n", CAUGHT),
    "StopIteration where the tests catch everything": ("def add(a, b):\n    raise StopIteration\n", CAUGHT),
    "no answer where the tests catch everything": (FRAMES + "def add(a, b):\n    everywhere(framed(b'?'))\n    os._exit(0)\n", CAUGHT),
    "no answer to assert about": ("def add(a, b):\n    return []\n", LOOPED),
    "an empty generator to assert about": ("def add(a, b):\n    yield from ()\n", LOOPED),
    "no assertion but constant ones": ("def add(a, b):\n    return 3\n", NOTHING),
    "zip, map, all and others rebound": """
import builtins
for name in ('zip', 'map', 'all', 'any', 'abs', 'len', 'sorted', 'set', 'isinstance', 'type', 'getattr', 'compile', 'exec', 'repr'):
    setattr(builtins, name, lambda *a, **k: True)
def add(a, b):
    return 7
""",
    "AssertionError rebound": """
import builtins
builtins.AssertionError = type('Never', (BaseException,), {})
def add(a, b):
    return 7
""",
    "its own globals' builtins": "__builtins__.AssertionError = None\n__builtins__.zip = lambda *a: []\ndef add(a, b):\n    return 7\n",
    "builtins by __import__": """
import builtins
plain = builtins.__import__
def mine(name, *rest, **more):
    module = plain(name, *rest, **more)
    for each in ('encode', 'decode', 'frame', '_put'):
        if hasattr(module, each):
            setattr(module, each, lambda *a: b'T')
    return module
builtins.__import__ = mine
def add(a, b):
    return 7
""",
    "an object equal to everything": same("object"),
    "an int equal to everything": same("int", "7"),
    "a float equal to everything": same("float", "7"),
    "a str equal to everything": same("str", "'7'"),
    "bytes equal to everything": same("bytes", "b'7'"),
    "a list equal to everything": same("list", "[7]"),
    "a dict equal to everything": same("dict", "{7: 7}"),
    "a tuple equal to everything": same("tuple", "[7]"),
    "a set equal to everything": same("set", "[7]"),
    "an exception equal to everything": same("Exception", "3"),
    "a class equal to everything": """
class Meta(type):
    def __eq__(cls, other):
        return True
    __hash__ = None
class Same(metaclass=Meta):
    pass
def add(a, b):
    return Same
""",
    "unittest.mock.ANY": "import unittest.mock\ndef add(a, b):\n    return unittest.mock.ANY\n",
    "NotImplemented": "def add(a, b):\n    return NotImplemented\n",
    "an object that says it is an int": """
class Lying:
    __class__ = property(lambda self: int)
    __index__ = __int__ = __hash__ = lambda self: 3
    def __eq__(self, other):
        return True
def add(a, b):
    return Lying()
""",
    "a pickle of a right answer": """
import copyreg, pickle
class Right:
    def __reduce__(self):
        return (int, (3,))
    __repr__ = __str__ = lambda self: '3'
    __copy__ = __deepcopy__ = lambda self, *a: 3
def add(a, b):
    return pickle.dumps(Right()) if a == 1 else Right()
""",
    "int's comparison patched": """
import gc, ctypes
slots = gc.get_referents(int.__dict__)[0]
slots['__eq__'] = lambda self, other: True
slots['__ne__'] = lambda self, other: False
ctypes.pythonapi.PyType_Modified(ctypes.py_object(int))
def add(a, b):
    return 7
""",
    "an exception whose name is an object": """
class Meta(type):
    __name__ = property(lambda cls: same)
class Same(str):
    __hash__ = None
    def __eq__(self, other):
        return True
same = Same('StopIteration')
class Error(Exception, metaclass=Meta):
    def __str__(self):
        return same
def add(a, b):
    raise Error
""",
    "an exception whose text raises": """
class Error(Exception):
    def __str__(self):
        raise self
def add(a, b):
    raise Error
""",
    "a group of exceptions": "def add(a, b):\n    raise BaseExceptionGroup('all', [KeyboardInterrupt(), SystemExit(0)])\n",
    "modules replaced": """
import sys, types
for name in [*sys.modules, 'json', 'math', 'equipoise.evaluation.confined.checker']:
    made = types.ModuleType(name)
    made.__getattr__ = lambda each: (lambda *a, **k: True)
    sys.modules[name] = made
def add(a, b):
    return 7
""",
    "the codec patched": """
import sys
for name, module in list(sys.modules.items()):
    if name.endswith(('plain', 'candidate')):
        module.encode = lambda *a: b'T'
        module.frame = lambda *a: b'\\0\\0\\0\\1T'
def add(a, b):
    return 7
""",
    "import hooks": """
import importlib.abc, importlib.machinery, sys
class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        module.__getattr__ = lambda each: (lambda *a, **k: True)
sys.meta_path.insert(0, Hook())
sys.path_hooks.insert(0, lambda path: Hook())
sys.path_importer_cache.clear()
def add(a, b):
    return 7
""",
    "frames up to who calls": """
import inspect, sys
frame = sys._getframe()
while frame:
    for names in (frame.f_globals, frame.f_locals):
        for name in list(names):
            if name in ('encode', 'decode', '_answer', '_named', 'frame', 'exec', 'broken'):
                names[name] = lambda *a, **k: b'T'
    frame = frame.f_back
seen = [inspect.getsource(each.frame) for each in inspect.stack() if each.code_context]
def add(a, b):
    return 7
""",
    "objects that the collector knows": FRAMES
    + """
for thing in gc.get_objects():
    if isinstance(thing, io.BufferedWriter):
        for content in (VERDICT, answer(b'T'), b'.' + VERDICT):
            try:
                thing.write(content)
                thing.flush()
            except (OSError, ValueError):
                pass
    if isinstance(thing, dict) and 'passed' in thing:
        thing['passed'] = True
def add(a, b):
    return 7
""",
    "a verdict on every descriptor": FRAMES + "everywhere(VERDICT)\neverywhere(b'.' + VERDICT)\nos._exit(0)\n",
    "a verdict in the call": FRAMES + "def add(a, b):\n    everywhere(VERDICT)\n    everywhere(b'.' + VERDICT)\n    os._exit(0)\n",
    "the tests' own judge": """
import io, os
from equipoise.evaluation.confined import checker
checker.os._exit = lambda status: None
for number in range(64):
    try:
        out = io.FileIO(number, 'w', closefd=False)
        checker.judge('', 'assert True', [], io.BytesIO(), io.BytesIO(), out)
    except (OSError, ValueError):
        pass
def add(a, b):
    return 7
""",
    "answers before the calls": FRAMES + "everywhere(answer(b'O') * 100)\nos._exit(0)\n",
    "answers of every truth": FRAMES + "everywhere(answer(b'T') + answer(b'O') + answer(b'N'))\ndef add(a, b):\n    return 7\n",
    "an answer that says how long it is not": FRAMES + "def add(a, b):\n    everywhere(struct.pack('>I', 2**32 - 1))\n    os._exit(0)\n",
    "an answer longer than any": FRAMES + "def add(a, b):\n    everywhere(struct.pack('>I', 2**23) + bytes(2**16))\n    os._exit(0)\n",
    "a list of four billion": FRAMES + "everywhere(answer(b'l' + struct.pack('>I', 2**32 - 1)) * 2)\nos._exit(0)\n",
    "a set of lists": FRAMES + "everywhere(answer(b'S' + struct.pack('>I', 1) + b'l' + struct.pack('>I', 0)) * 2)\nos._exit(0)\n",
    "a range of words": FRAMES + "everywhere(answer(b'r' + text(b'a') * 3) * 2)\nos._exit(0)\n",
    "a tower of lists": FRAMES + "everywhere(answer((b'l' + struct.pack('>I', 1)) * 10**5 + b'N') * 2)\nos._exit(0)\n",
    "text that is none": FRAMES + "everywhere(answer(text(b'\\xff\\xfe')) * 2)\nos._exit(0)\n",
    "half a number": FRAMES + "everywhere(answer(b'd1') * 2)\nos._exit(0)\n",
    "an error of the evaluator's": FRAMES
    + "everywhere(framed(tuple_of(text(b'error'), text(b'UserError'), text(b'passed'))) * 2)\nos._exit(0)\n",
    "an error that is no exception": FRAMES + "everywhere(framed(tuple_of(text(b'error'), text(b'print'), text(b'x'))) * 2)\nos._exit(0)\n",
    "at exit": FRAMES + "import atexit\natexit.register(everywhere, VERDICT)\nraise SystemExit(0)\n",
    "in a finalizer": FRAMES
    + """
import weakref
class Last:
    def __del__(self):
        everywhere(VERDICT)
keep = Last()
weakref.finalize(Last(), everywhere, VERDICT)
os._exit(0)
""",
    "in a trace": FRAMES
    + """
def trace(frame, event, argument):
    for name in ('form', 'value', 'reason', 'passed'):
        if name in frame.f_locals:
            everywhere(answer(b'T'))
    return trace
sys.settrace(trace)
sys.setprofile(trace)
def add(a, b):
    return 7
""",
    "in a signal handler": FRAMES
    + """
import signal
for number in (signal.SIGALRM, signal.SIGPROF, signal.SIGVTALRM, signal.SIGXCPU):
    signal.signal(number, lambda *a: everywhere(VERDICT))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
def add(a, b):
    import time
    time.sleep(0.1)
    return 7
""",
    "in another interpreter": FRAMES
    + """
import _xxsubinterpreters as interpreters
one = interpreters.create()
interpreters.run_string(one, 'import builtins\\nbuiltins.AssertionError = None')
def add(a, b):
    return 7
""",
    "a right function of another name": "def Add(a, b):\n    return a + b\n__getattr__ = lambda name: Add\n",
    "no function": "add = 3\n",
    "a class instead of a function": same("int", "7").replace(
        "def add(a, b):\n    return Same(7)", "class add(Same):\n    __new__ = lambda c, *a: 7"
    ),
    "a generator instead of an answer": "def add(a, b):\n    while not (yield a):\n        pass\n    return a + b\n",
    "a coroutine instead of an answer": "async def add(a, b):\n    return a + b\n",
    "asserts switched off": "import sys\nsys.flags = type('Flags', (), {'optimize': 2})\ndef add(a, b):\n    assert False\n    return 7\n",
    "words on the output": "import sys\nprint('passed')\nsys.stdout.write('{\"passed\": true}')\nsys.exit(0)\n",
    "a text that is no program": "def add(a, b):\0 return a + b\n",
    "a program of brackets": "(" * 5000 + ")" * 5000,
    "surrogates": "def add(a, b):\n    return '\\udcff' * a\n",
    "bottomless recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef add(a, b):\n    return add(a, b) + 1\n",
    "a fault in memory": "import ctypes\ndef add(a, b):\n    return ctypes.string_at(0)\n",
    "all descriptors closed": "import os\nos.closerange(0, 64)\ndef add(a, b):\n    return 7\n",
    "descriptors exchanged": """
import os
def add(a, b):
    for one in range(3, 16):
        for other in range(3, 16):
            try:
                os.dup2(one, other)
            except OSError:
                pass
    return 7
""",
}
