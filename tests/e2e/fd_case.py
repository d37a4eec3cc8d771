"""What the tests of descriptors share: some that can be recognised, and are watched for leaks."""

import contextlib
import fcntl
import os
import select
import socket
import struct

from child import DEADLINE_S, eventually
from wire_case import BrokerTest, is_delivery, subscribe
from wire_socket import close_fds

SIOCSIFFLAGS, IFF_UP_AND_RUNNING = 0x8914, 0x41


def identity(fd):
    """Which file it is, whatever its number."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def identities(fds):
    """The files of a list."""
    return [identity(fd) for fd in fds]


class Witness:
    """Notices when nobody has a descriptor any more: neither a process, nor the kernel on its way.

    `fd` is the one to send: the only writing end of a pipe.
    """

    def __init__(self):
        self._read_end, self.fd = os.pipe()
        self.identity = identity(self.fd)

    def let_go(self):
        """Close our own."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def is_gone(self):
        """Whether no other is left, by now."""
        self.let_go()
        return bool(select.select([self._read_end], [], [], 0)[0])

    def wait_gone(self):
        """Wait until the last is closed."""
        self.let_go()
        if not select.select([self._read_end], [], [], DEADLINE_S)[0]:
            raise AssertionError("a descriptor is still open somewhere")

    def close(self):
        """Forget about it."""
        self.let_go()
        os.close(self._read_end)


class Lingering:
    """TCP connections over which nothing moves: to close the last descriptor of one takes an hour.

    They take the loopback of a network namespace of the test's own.
    """

    def __init__(self):
        flags = struct.pack("16sh14x", b"lo", IFF_UP_AND_RUNNING)
        with socket.socket() as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, flags)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self._peers = []

    def connect(self):
        """A new one, full of unsent bytes."""
        sock = socket.create_connection(self._listener.getsockname())
        self._peers.append(self._listener.accept()[0])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(65536))
        return sock

    def close(self):
        """The other ends are gone: nobody lingers any more."""
        close_all([*self._peers, self._listener])


def close_all(socks):
    """Close each of them."""
    for sock in socks:
        sock.close()


class FdMixin:
    """For a test that has a broker: a publisher, and a receiver of the topics below `a` that takes
    all descriptors.
    """

    def setUp(self):
        super().setUp()
        self.publisher, self.receiver = self.connect(), self.connect()
        subscribe(self.receiver, "a.>", max_fds=16)

    def witness(self):
        """A descriptor that is watched."""
        witness = Witness()
        self.addCleanup(witness.close)
        return witness

    def files(self, count):
        """So many descriptors, each of another file; they go with the test."""
        fds = [os.memfd_create(f"file {number}", os.MFD_CLOEXEC) for number in range(count)]
        self.addCleanup(close_fds, fds)
        return fds

    def take(self, session=None):
        """The next publication; its descriptors are closed with the test."""
        delivery = (session or self.receiver).take(is_delivery)
        self.addCleanup(close_fds, delivery.fds)
        return delivery

    @contextlib.contextmanager
    def leaves_nothing(self):
        """What is done within leaves no descriptor in the broker, nor any of its witnesses'."""
        before, witnesses = self.broker.count_fds(), []
        yield lambda: witnesses.append(self.witness()) or witnesses[-1].fd
        for witness in witnesses:
            witness.wait_gone()
        eventually(lambda: self.broker.count_fds() == before,
                   f"the broker has {before} descriptors again")


class FdTest(FdMixin, BrokerTest):
    """With a broker of its own."""
