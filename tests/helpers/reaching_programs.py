"""Programs that go for what is outside: files, devices, other processes' secrets. They pass exactly if they reach one.

BAIT is a folder outside the sandbox that anyone may write to, SECRET a word in the evaluator's environment, memory and files.
"""

from helpers.hostile_programs import ESCAPES

PROCESSES = (
    ESCAPES
    + """
def others():
    try:
        found = [int(name) for name in os.listdir('/proc') if name.isdigit()]
    except OSError:
        found = range(1, 2000)
    return [pid for pid in (os.getppid(), *found) if pid != os.getpid()]
def holds(path):
    with open(path, 'rb') as file:
        if 'SECRET'.encode() not in file.read():
            raise OSError
"""
)
PLACES = (
    ESCAPES
    + """
DEVICES = [f'/dev/{name}' for name in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'kmsg', 'mem', 'shm', 'pts', 'ptmx')]
def walked(top, most=3000):
    places = []
    for folder, folders, names in os.walk(top):
        places += [os.path.join(folder, name) for name in (*folders, *names)]
        if len(places) > most:
            break
    return [top, *places[:most]]
EVERYWHERE = [*DEVICES, *walked('BAIT'), '/dev', '/tmp', '/proc', '/sys', '/', *walked('/proc/sys', 300), *walked('/sys', 300)]
"""
)


def over(places: str, *attempts: str) -> str:
    """Tries expressions at every place."""
    tries = "".join(f"\n    escapes(lambda: {attempt})" for attempt in attempts)
    return f"{PLACES}for place in {places}:{tries}\n"


REACHING = {
    "modes of everything": over("EVERYWHERE", "os.chmod(place, 0o777)", "os.chmod(place, 0o777, follow_symlinks=False)"),
    "times of everything": over("EVERYWHERE", "os.utime(place, (1, 1))", "os.utime(place, (1, 1), follow_symlinks=False)"),
    "owners of everything": over("EVERYWHERE", "os.chown(place, os.getuid(), os.getgid())", "os.lchown(place, 65534, 65534)"),
    "attributes of everything": over("EVERYWHERE", "os.setxattr(place, 'user.equipoise', b'x')"),
    "modes, times and owners through descriptors": over(
        "[*range(64)]",
        "os.fchmod(place, 0o777)",
        "os.utime(place, (1, 1))",
        "os.fchown(place, os.getuid(), os.getgid())",
        "os.ftruncate(place, 0)",
        "done(libc.futimens(place, None))",
    ),
    "modes through a descriptor opened for reading": over(
        "EVERYWHERE", "os.fchmod(os.open(place, os.O_RDONLY | os.O_NONBLOCK), 0o777)", "os.fchmod(os.open(place, os.O_PATH), 0o777)"
    ),
    "writing into everything": over(
        "EVERYWHERE",
        "open(place, 'ab').write(b'0')",
        "os.open(place, os.O_RDWR | os.O_NONBLOCK)",
        "os.open(place, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK)",
        "os.open(place, os.O_RDONLY | os.O_TRUNC | os.O_NONBLOCK)",
        "os.truncate(place, 0)",
    ),
    "new files everywhere": over(
        "['BAIT', '/tmp', '/dev', '/dev/shm', '/', '/proc', '/sys', '/usr', '/var/tmp', '.']",
        "open(place + '/equipoise-escaped', 'w')",
        "os.open(place, os.O_TMPFILE | os.O_RDWR)",
        "os.mkdir(place + '/equipoise-escaped')",
        "os.mknod(place + '/equipoise-escaped')",
        "os.mkfifo(place + '/equipoise-escaped')",
        "os.symlink('/', place + '/equipoise-escaped')",
        "os.link('BAIT/file', place + '/equipoise-escaped')",
        "os.mknod(place + '/equipoise-escaped', 0o20666, os.makedev(1, 3))",
    ),
    "files gone and renamed": over(
        "walked('BAIT')",
        "os.unlink(place)",
        "os.rmdir(place)",
        "os.rename(place, place + '-equipoise-escaped')",
    ),
    "programs of the system changed": over(
        "[os.__file__, '/usr/bin/env', '/usr/lib', '/etc/passwd', ctypes.__file__]", "os.open(place, os.O_RDWR)", "os.chmod(place, 0o777)"
    ),
    "files of the user": over(
        "['BAIT/file', 'BAIT', '/etc/passwd', '/etc/shadow', '/etc/hosts', '/etc', '/root/.bashrc', '/var', '/dev/shm', '/run', '/sys']",
        "os.listdir(place) if os.path.isdir(place) else open(place).read()",
        "os.open(place, os.O_RDONLY)",
        "os.open(place, os.O_RDONLY | os.O_DIRECTORY)",
        "os.scandir(place)",
    ),
    "files of the user by a way around": ESCAPES
    + """
def read(path):
    with open(path) as file:
        if 'SECRET' not in file.read():
            raise OSError
for way in ('/usr/..', '/lib/../..', '/proc/self/root', '/proc/self/cwd', '/proc/thread-self/root', '/proc/1/root', os.path.relpath('/')):
    escapes(lambda: read(way + 'BAIT/file'))
escapes(lambda: read(os.readlink('BAIT/link')))
escapes(lambda: os.chroot('BAIT'))
for number in range(64):
    escapes(lambda: os.open('file', os.O_RDONLY, dir_fd=number))
    escapes(lambda: os.fchdir(number) or read('file'))
""",
    "descriptors of files": ESCAPES
    + """
import stat
def file_of_the_host(number):
    if not stat.S_ISFIFO(os.fstat(number).st_mode):
        raise RuntimeError
kinds = {}
for number in range(1024):
    try:
        kinds[number] = stat.S_IFMT(os.fstat(number).st_mode)
    except OSError:
        pass
if any(kind != stat.S_IFIFO for kind in kinds.values()) or len(kinds) > 2:
    escapes(lambda: None)
""",
    "environments of others": PROCESSES + "for pid in others():\n    escapes(lambda: holds(f'/proc/{pid}/environ'))\n",
    "its own environment": ESCAPES + "if set(os.environ) - {'LC_CTYPE', 'PWD'}:\n    escapes(lambda: 0)\n",
    "command lines of others": PROCESSES
    + """
def read(path):
    open(path, 'rb').read() and None
for pid in others():
    for name in ('cmdline', 'status', 'maps', 'mountinfo', 'cgroup', 'comm', 'auxv', 'stack', 'io', 'limits'):
        if confined_in != 'runsc':
            escapes(lambda: read(f'/proc/{pid}/{name}'))
""",
    "memory of others": PROCESSES
    + """
def searched(pid):
    for region in open(f'/proc/{pid}/maps'):
        begin, end = (int(number, 16) for number in region.split()[0].split('-'))
        if region.split()[1].startswith('rw') and end - begin < 2**26:
            with open(f'/proc/{pid}/mem', 'rb') as memory:
                memory.seek(begin)
                if 'SECRET'.encode() in memory.read(end - begin):
                    return
    raise OSError
for pid in others():
    escapes(lambda: searched(pid))
    escapes(lambda: open(f'/proc/{pid}/mem', 'rb'))
""",
    "memory of others by a system call": PROCESSES
    + """
number = {'x86_64': (310, 101), 'aarch64': (270, 117)}[os.uname().machine]
class Vector(ctypes.Structure):
    _fields_ = (('base', ctypes.c_void_p), ('length', ctypes.c_size_t))
local = ctypes.create_string_buffer(16)
for pid in others():
    here, there = Vector(ctypes.addressof(local), 16), Vector(ctypes.addressof(local), 16)
    escapes(lambda: done(libc.syscall(number[0], pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)))
    escapes(lambda: done(libc.syscall(number[1], 16, pid, None, None)))
""",
    "descriptors of others": PROCESSES
    + """
for pid in others():
    escapes(lambda: os.listdir(f'/proc/{pid}/fd'))
    for number in range(32):
        escapes(lambda: os.readlink(f'/proc/{pid}/fd/{number}'))
        escapes(lambda: os.open(f'/proc/{pid}/fd/{number}', os.O_RDONLY | os.O_NONBLOCK))
    for name in ('cwd', 'root', 'exe'):
        escapes(lambda: os.readlink(f'/proc/{pid}/{name}'))
""",
    "settings of the kernel": ESCAPES
    + """
for place in ('/proc/sys/kernel/hostname', '/proc/self/oom_score_adj', '/proc/self/comm', '/proc/sysrq-trigger', '/sys/power/state'):
    escapes(lambda: open(place, 'w').write('0'))
escapes(lambda: done(libc.sethostname(b'escaped', 7)))
escapes(lambda: done(libc.settimeofday(None, None)))
escapes(lambda: done(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)))
escapes(lambda: done(libc.umount2(b'/', 2)))
escapes(lambda: done(libc.unshare(0x10000000)))
""",
    "a mount remounted": ESCAPES
    + """
for place in (b'/', b'/usr', b'/lib', b'/dev', b'/dev/null'):
    for flags in (32, 32 | 4096, 4096, 16384):
        escapes(lambda: done(libc.mount(place, place, None, flags, None)))
""",
    "terminals": ESCAPES
    + """
import fcntl, glob
for place in ('/dev/tty', '/dev/console', '/dev/ptmx', *glob.glob('/dev/pts/*')):
    escapes(lambda: fcntl.ioctl(os.open(place, os.O_RDONLY | os.O_NOCTTY), 0x5412, b'x'))
for number in range(64):
    escapes(lambda: fcntl.ioctl(number, 0x5412, b'x'))
escapes(os.openpty)
""",
}
