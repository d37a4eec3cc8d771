"""What the tests of listeners that are passed on share: they play systemd.

    listener = new_listener("stream:/tmp/s")
    broker = PassedOn(listener)             # LISTEN_PID=its own LISTEN_FDS=1, at descriptor 3
"""

import contextlib
import fcntl
import os
import re
import sys

import harness
from child import eventually
from wire_case import Broker
from wire_socket import new_socket, socket_name

ABOVE = 50                      # numbers that no descriptor of the broker's start-up has
# Of /proc/net/unix. A socket for datagrams counts as connected when another connects to it.
DGRAM, CONNECTED = "0002", "03"
# Only the process itself knows its number; then it becomes the broker.
LAUNCHER = """
import os, sys
fds, pid, count, program = eval(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
for number, fd in enumerate(fds):
    os.dup2(fd, 3 + number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES="a:b")
os.execv(program, sys.argv[4:])
"""


def new_listener(address, backlog=64):
    """A socket that listens there, or, of the type for datagrams, hears."""
    sock = new_socket(address)
    sock.bind(socket_name(address))
    if not address.startswith("dgram:"):
        sock.listen(backlog)
    return sock


def pass_on(start, fds, *words, pid="", count=None, program="broker", **options):
    """Have harness.run or harness.popen `start` a broker that has these descriptors."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE) for fd in fds]
    try:
        return start(sys.executable, "-c", LAUNCHER, high, pid,
                     len(fds) if count is None else count, harness.binary(program), *words,
                     pass_fds=high, **options)
    finally:
        for fd in high:
            os.close(fd)


def count_connections(pid):
    """How many of its descriptors are connections of AF_UNIX; those that wait have none yet."""
    inodes = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes += re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{number}"))
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file]
    connected = {line[6] for line in lines if line[5] == CONNECTED and line[4] != DGRAM}
    return sum(inode in connected for inode in inodes)


class PassedOn(Broker):
    """A broker that was passed these sockets; `listen`: what it serves besides."""

    def __init__(self, *sockets, address, listen=(), **more):
        self._sockets = sockets
        super().__init__(listen=listen, address=address, **more)

    def start(self):
        words = [word for address in self._listen for word in ("--listen", address)]
        self.process = pass_on(harness.popen, [sock.fileno() for sock in self._sockets], *words,
                               *self.options, **self._options)
        self.process.wait_line("ready", "err")
        # When nobody is connected; but who has waited for it may be there already.
        eventually(self._count_own_fds, "its clients neither come nor go for a moment")

    def _count_own_fds(self):
        before, connections = self.count_fds(), count_connections(self.pid)
        self.expected_fds = before - connections
        return self.count_fds() == before
