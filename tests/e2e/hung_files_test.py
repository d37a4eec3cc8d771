"""Files of a FUSE server that hangs: whoever closes one is stuck, and cannot be killed.

A session that may send descriptors sends such files; the broker serves all others while threads of
it are stuck, and gives up its addresses when it is told to end, although it cannot. What is stuck
is seen to be: a thread waits in the kernel for as long as the file system is there.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import unittest

import harness
import uid_case
from child import eventually
from fd_case import FdTest
from hung_fuse import HungFuse, can_mount, enter_mount_namespace
from passed_case import PassedOn, new_listener
from uid_case import SOMEBODY
from wire_case import confirmed, is_delivery, subscribe, sync
from wire_client import Session
from wire_codec import Frame as F, encode
from wire_socket import close_fds, connect_to

SO_PASSRIGHTS = 83
ONE, SIXTEEN = (encode([F.PUB, count, "unknown", {}, b""]) for count in (1, 16))


def stuck_threads(pid):
    """How many threads wait for a FUSE server, whatever may come."""
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/task/{task}/wchan", encoding="ascii") as file:
            count += "request_wait_answer" in file.read()
    return count


def is_dying(pid):
    """Its first thread has ended, and others have not."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def can_refuse():
    """SO_PASSRIGHTS is there."""
    with socket.socket(socket.AF_UNIX) as sock:
        with contextlib.suppress(OSError):
            return sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1
    return False


class Attacker:
    """A process that has hung files, connections to the broker, and nobody's sympathy.

    It does what it is told, a line each; when it is through it says so.
    """

    def __init__(self, address):
        self._address, self._sessions, self._fds = address, [], []

    def run(self, child):
        """What the child does."""
        directory = tempfile.mkdtemp()
        with HungFuse(directory) as self._fuse:
            self._fds = [self._fuse.open() for _ in range(16)]
            self._fuse.hang()
            child.say("hung")
            while (line := child.hear()) != "abort":
                getattr(self, line.split()[0])(*map(int, line.split()[1:]))
                child.say("done")
        os.rmdir(directory)

    def connect(self):
        """Another connection."""
        session = Session.connect(self._address, timeout=20)
        session.hello("attacker")
        self._sessions.append(session)

    def send(self, packets, each):
        """So many packets of so many files, to nobody."""
        for _ in range(packets):
            self._sessions[-1].send_raw(SIXTEEN if each == 16 else ONE, self._fds[:each])

    def spoil(self):
        """End the session: what comes behind is never received."""
        self._sessions[-1].send_raw(b"\xc1")

    def publish(self):
        """To a subscriber."""
        self._sessions[-1].publish("a.b", fds=self._fds[:1])


class HungCase(FdTest):
    def setUp(self):
        super().setUp()
        self.attacker = self.fork(Attacker(self.broker.address).run)
        self.addCleanup(self.abort)
        self.assertEqual(self.attacker.hear(), "hung")

    def abort(self):
        """Before the broker must end: it could not."""
        if self.attacker.status is None:
            self.attacker.say("abort")
            self.attacker.end()

    def tell(self, *lines):
        """Have the attacker do this."""
        for line in lines:
            self.attacker.say(line)
            self.assertEqual(self.attacker.hear(), "done")

    def wait_stuck(self, count=1):
        eventually(lambda: stuck_threads(self.broker.pid) >= count, f"{count} threads are stuck")

    def exchange(self, count=20):
        """The others are served."""
        (fd,) = self.files(1)
        for _ in range(count):
            self.assertEqual(confirmed(self.publisher, "a.b", fds=[fd]), 1)
            close_fds(self.receiver.take(is_delivery).fds)
            self.connect().close()


class Hung(HungCase):
    def test_1_and_16_and_100_of_them_hold_up_nobody(self):
        self.tell("connect", "send 1 1")
        self.wait_stuck()
        self.exchange()
        self.tell("send 1 16")
        self.wait_stuck(2)
        self.exchange()
        self.tell("send 6 16")
        self.wait_stuck(8)
        self.exchange()
        self.assertGreaterEqual(stuck_threads(self.broker.pid), 8)

    def test_the_threads_that_take_their_place_are_confined_like_the_others(self):
        self.tell("connect", "send 1 1")
        self.wait_stuck()
        tasks = f"/proc/{self.broker.pid}/task"
        eventually(lambda: len(os.listdir(tasks)) > 3, "a third beside the loop")
        states = set()
        for number in os.listdir(tasks):
            with open(f"{tasks}/{number}/status", encoding="ascii") as file:
                states.add(re.search(r"^Seccomp:\s*(\d)$", file.read(), re.M)[1])
        if "not confined" not in self.broker.said():
            self.assertEqual(states, {"2"})

    def test_those_that_are_never_received_hold_up_nobody(self):
        self.tell("connect")
        self.broker.pause()
        self.tell("spoil", "send 20 16")
        self.broker.go_on()
        self.exchange()

    def test_a_subscriber_that_dies_with_one_holds_up_nobody(self):
        def receive(child):
            session = self.connect()
            subscribe(session, "a.b", max_fds=16)
            child.say("subscribed")
            delivery = session.take(is_delivery)
            child.say(len(delivery.fds))
            child.hear()

        child = self.fork(receive)
        child.hear()
        self.tell("connect", "publish")
        self.assertEqual(child.hear(), "1")
        os.kill(child.pid, signal.SIGKILL)          # it cannot end, either
        self.wait_stuck()                           # the broker is through with it
        self.assertEqual(len(self.receiver.take(is_delivery).fds), 1)
        self.abort()                                # ours would be stuck as well
        child.kill()

    def test_more_than_the_broker_has_threads_for_cost_the_others_at_most_their_descriptors(self):
        self.tell("connect", "send 64 1")
        self.wait_stuck(63)
        for _ in range(20):
            self.assertEqual(confirmed(self.publisher, "a.b"), 1)
            self.receiver.take(is_delivery)
            self.connect().close()
        self.tell("connect", "send 64 1")
        sync(self.publisher)

    def test_it_gives_up_its_addresses_although_it_cannot_end(self):
        self.tell("connect", "send 1 1")
        self.wait_stuck()
        self.broker.process.signal(signal.SIGTERM)
        self.broker.process.wait_line("broker: stopping", "err")
        with self.assertRaises(OSError):
            eventually(lambda: connect_to(self.broker.address).close(), "it listens no more")
        successor = self.new_broker(listen=(self.broker.address, self.broker.path))
        self.assertEqual(confirmed(self.connect(), "a.b"), 0)
        self.broker.process.signal(signal.SIGKILL)
        self.assertEqual(stuck_threads(self.broker.pid), 1)
        self.assertTrue(successor.is_running())
        self.abort()
        self.broker.process.wait()


class PassedListener(HungCase):
    """Killed at once, a broker does not even give up its addresses; but these are not its own."""

    def setUp(self):
        place = harness.short_tmpdir()
        self.addCleanup(shutil.rmtree, place)
        self.listener = new_listener(f"{place}/s")
        self.addCleanup(self.listener.close)
        super().setUp()

    def new_broker(self, **_):
        broker = PassedOn(self.listener, address=self.listener.getsockname())
        self.addCleanup(broker.finish)
        return broker

    def test_the_next_broker_serves_there_although_the_one_before_cannot_die(self):
        self.tell("connect", "send 1 1")
        self.wait_stuck()
        hung = self.broker
        hung.process.signal(signal.SIGKILL)
        eventually(lambda: is_dying(hung.pid), "it has been killed")
        with contextlib.closing(Session.connect(hung.address, timeout=20)) as waiting:
            self.new_broker()
            waiting.hello("waiting")
            self.assertEqual(confirmed(waiting, "a.b"), 0)
        self.assertEqual(stuck_threads(hung.pid), 1)
        self.abort()
        hung.process.wait()


@unittest.skipUnless(can_refuse(), "before Linux 6.16 the kernel lets all descriptors in")
class Refused(uid_case.OtherUid):
    """What has no right never comes in: the kernel refuses it to whoever sends it."""

    def is_refused_by_kernel(self):
        """Not accepted yet, and already refused."""
        with self.socket(self.name) as session, self.assertRaises(PermissionError):
            session.send_raw(ONE, [0])

    def test_a_stranger_cannot_send_any(self):
        broker = self.serve(self.open_name)
        broker.pause()       # or it would be told to go, and that first
        self.run_as(SOMEBODY, self.is_refused_by_kernel)
        broker.go_on()

    def test_nobody_can_before_welcome_and_who_may_can_after(self):
        broker = self.serve(self.open_name)
        broker.pause()
        self.is_refused_by_kernel()
        broker.go_on()
        session = self.connect(self.name)
        self.assertEqual(confirmed(session, "unknown", fds=[0]), 0)


def main():
    """Run the tests, or say that they were skipped."""
    if not uid_case.can_become_others() or not can_mount():
        print("skipped: needs root, and /dev/fuse")
        sys.exit(0)
    enter_mount_namespace()
    harness.main()


if __name__ == "__main__":
    main()
