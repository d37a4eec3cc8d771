"""A file system whose server stops answering: close(2) of its files then waits for ever.

    with HungFuse(directory) as fuse:
        fds = [fuse.open() for _ in range(16)]
        fuse.hang()                 # from here on nobody is answered
        ...                         # whoever closes one of them is stuck
    # the connection is aborted: whoever was stuck goes on

It speaks the kernel's protocol (linux/fuse.h) over /dev/fuse itself: one directory, in which every
name is an empty file. The server is a process that has none of its files, so that killing all of
them aborts the connection. Mounting takes root, and a mount namespace of one's own. Whoever has
descriptors of a hung file system must not fork and execute, which would close some.
"""

import contextlib
import ctypes
import itertools
import os
import select
import struct

CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000
MS_NOSUID_NODEV, MNT_FORCE, MNT_DETACH = 0x6, 1, 2
ROOT_NODE, FILE_NODE = 1, 2
LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 18, 25, 26
OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 27, 29, 36, 42
UNANSWERED = FORGET, INTERRUPT, BATCH_FORGET
ENOSYS = 38
REQUEST = struct.Struct("<IIQQIIIHH")
REQUEST_BYTES = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter_mount_namespace():
    """What is mounted from here on nobody else sees, nor does it stay when all of us have ended."""
    _check(_libc.unshare(CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None))


def can_mount():
    """Root may, where /dev/fuse is."""
    pid = os.fork()
    if not pid:
        with contextlib.suppress(OSError):
            enter_mount_namespace()
            os.close(os.open("/dev/fuse", os.O_RDWR))
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class HungFuse:
    """A mounted file system, for every user."""

    def __init__(self, directory):
        self._directory = os.fsencode(directory)
        self._names = itertools.count()
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
        _check(_libc.mount(b"hung", self._directory, b"fuse", MS_NOSUID_NODEV, options.encode()))
        life, self._life = os.pipe()
        self._server = os.fork()
        if not self._server:
            with contextlib.suppress(OSError):          # ENODEV: it has been aborted
                os.close(self._life)
                _serve(device, life)
            os._exit(0)
        os.close(device)
        os.close(life)
        self._is_mounted = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abort()

    def open(self):
        """A descriptor of a new file."""
        name = b"%s/%d" % (self._directory, next(self._names))
        return os.open(name, os.O_RDWR | os.O_CLOEXEC)

    def hang(self):
        """Answer nobody any more."""
        os.write(self._life, b"x")

    def abort(self):
        """Like umount -f: whoever waits gets an error, and nobody ever waits again."""
        if self._is_mounted:
            self._is_mounted = False
            _check(_libc.umount2(self._directory, MNT_FORCE | MNT_DETACH))
            os.close(self._life)
            os.waitpid(self._server, 0)


def _serve(device, life):
    """Answer until something comes from `life`; then keep the device, and do not, until its end."""
    while True:
        ready = select.select([device, life], [], [])[0]
        if life in ready:
            break
        request = os.read(device, REQUEST_BYTES)
        _, opcode, unique, node, *_ = REQUEST.unpack_from(request)
        if opcode not in UNANSWERED:
            error, answer = _answer(opcode, node)
            with contextlib.suppress(FileNotFoundError):        # it has been given up
                os.write(device, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)
    while os.read(life, 1):
        pass


def _attributes(node):
    mode, links = (0o40755, 2) if node == ROOT_NODE else (0o100666, 1)
    return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def _answer(opcode, node):
    """An errno, and what goes with 0."""
    if opcode == INIT:
        return 0, struct.pack("<4I2H2I2HI7I", 7, 31, 0, 0, 12, 9, 4096, 1, 1, 0, 0, *[0] * 7)
    if opcode == LOOKUP:            # remembered for an hour; what it is like, not at all
        return 0, struct.pack("<4Q2I", FILE_NODE, 0, 3600, 0, 0, 0) + _attributes(FILE_NODE)
    if opcode == GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + _attributes(node)
    if opcode in (OPEN, OPENDIR):
        return 0, struct.pack("<QII", 0, 0, 0)
    if opcode in (FLUSH, RELEASE, RELEASEDIR):
        return 0, b""
    return ENOSYS, b""
