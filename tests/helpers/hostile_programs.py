"""Programs that would harm the machine, outlive the evaluation or take more than they are given.

Those that begin with `ESCAPES` define a right function where what they try succeeds, so that they pass exactly then.
"""

from helpers.system_calls import REACHING_OUT

ESCAPES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), '')
    return result
def unknown(result):
    if result == -1 and ctypes.get_errno() == 38:
        raise OSError(38, '')
confined_in = 'MODE'
def escapes(attempt):
    global add
    try:
        attempt()
        add = lambda a, b: a + b
    except (OSError, RuntimeError, MemoryError, ValueError):
        pass
"""
HOSTILE = {
    "fork bomb": """
import os
while True:
    os.fork()
""",
    "fork bomb in the call": """
def add(a, b):
    import os
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "subprocess": """
import subprocess
subprocess.run(['sleep', '100'])
def add(a, b):
    return a + b
""",
    "memory hog": """
hog = []
while True:
    hog.append(bytearray(10**7))
""",
    "memory hog in the call": """
def add(a, b):
    return [0] * 10**10
""",
    "endless loop": """
while True:
    pass
""",
    "endless sleep": """
def add(a, b):
    import time
    time.sleep(1000)
""",
    "endless loop that catches everything": """
def add(a, b):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
    "huge output": """
import sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__):
    stream.write('x' * 10**8)
def add(a, b):
    return 'x' * 10**8
""",
    "huge output on descriptors": """
import os
while True:
    for number in (1, 2):
        os.write(number, b'x' * 10**6)
""",
    "endless iterator": """
import itertools
def add(a, b):
    return itertools.count()
""",
    "nested without end": """
def add(a, b):
    x = []
    for _ in range(10**5):
        x = [x]
    return x
""",
    "exit at once": """
import os
os._exit(0)
""",
    "exit in the call": """
def add(a, b):
    import os
    os._exit(0)
""",
    "sys.exit": """
import sys
sys.exit(0)
""",
    "exit as an exception of the tests": """
def add(a, b):
    raise SystemExit(0)
""",
    "killing the parent": """
import os, signal
for target in (os.getppid(), 0, -1, 1):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError:
        pass
""",
    "killing every process": """
import os, signal
for pid in range(2, 100000):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
""",
    "a signal to the parent through a descriptor": """
import fcntl, os, signal
reading, writing = os.pipe()
for owner, target in ((8, os.getppid()), (8, -os.getppid()), (15, __import__('struct').pack('ii', 1, os.getppid()))):
    for number in (0, signal.SIGKILL):
        try:
            fcntl.fcntl(reading, owner, target)
            fcntl.fcntl(reading, 10, number)
        except OSError:
            pass
        fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(writing, b'x')
""",
    "the parent's priority and processor": ESCAPES
    + """
escapes(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, 0)))
escapes(lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid())))
escapes(lambda: os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0)))
escapes(lambda: os.sched_setparam(os.getppid(), os.sched_param(0)))
""",
    "living on after the evaluator": ESCAPES
    + """
escapes(lambda: done(libc.prctl(1, 0, 0, 0, 0)))
""",
    "memory in shared segments": ESCAPES
    + """
def held():
    segment = done(libc.shmget(0, 2**23, 0o1600))
    place = libc.shmat(segment, None, 0)
    ctypes.memset(place, 1, 2**23)
    done(libc.shmdt(ctypes.c_void_p(place)))
libc.shmat.restype = ctypes.c_void_p
for _ in range(20):
    escapes(held)
""",
    "memory in files without a name": ESCAPES
    + """
def held():
    file = os.memfd_create('hog')
    for _ in range(15):
        os.write(file, b'x' * 2**20)
for _ in range(20):
    escapes(held)
""",
    "memory in large pipes": ESCAPES
    + """
import fcntl
def held():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 2**20)
    os.write(writing, b'x' * 2**20)
for _ in range(25):
    escapes(held)
""",
    "objects that outlive the program": ESCAPES
    + """
escapes(lambda: done(libc.msgget(0, 0o1600)))
escapes(lambda: done(libc.semget(0, 1, 0o1600)))
escapes(lambda: done(libc.mq_open(b'/equipoise-escaped', 0o102, 0o600, None)))
""",
    "a crowd of threads": ESCAPES
    + """
import threading, time
threading.stack_size(32768)
for _ in range(100):
    escapes(threading.Thread(target=time.sleep, args=(100,), daemon=True).start)
""",
    "32-bit system calls": ESCAPES
    + """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, getpid; int 0x80; ret
escapes(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code))))
""",
    "any call that reaches out": ESCAPES
    + f"""
machine = ('x86_64', 'aarch64').index(os.uname().machine)
for name, numbers in {REACHING_OUT!r}.items():
    if numbers[machine] is not None:
        escapes(lambda: unknown(libc.syscall(ctypes.c_long(numbers[machine]), *[ctypes.c_long(-1)] * 6)))
""",
    "a privilege won back": ESCAPES
    + """
for attempt in (os.setuid, os.setgid, os.seteuid, os.setegid):
    escapes(lambda: attempt(0))
escapes(lambda: os.setgroups([0]))
if confined_in != 'process' and 0 in (*os.getresuid(), *os.getresgid()):
    escapes(lambda: None)
""",
    "the network": ESCAPES
    + """
import socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET):
    escapes(lambda: socket.socket(family, socket.SOCK_RAW if family == 17 else socket.SOCK_STREAM))
escapes(lambda: socket.socketpair())
""",
    "more processor time and memory": ESCAPES
    + """
import resource
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
    escapes(lambda: resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
""",
    "an expression without end": """
import re
def add(a, b):
    return re.match('(a+)+$', 'a' * 100 + 'b')
""",
}
