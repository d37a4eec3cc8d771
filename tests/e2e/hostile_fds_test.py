"""Descriptors that were made to hurt whoever closes them: nobody else notices.

A lingering connection is what a close(2) waits for that no privilege is needed to make. What waits
in a socket that is closed, received or not, is closed with it. Files of a hung FUSE server are in
hung_files_test.py.
"""

import os
import resource
import signal
import socket

import harness
from child import eventually
from fd_case import FdTest, Lingering, close_all
from wire_case import confirmed, is_delivery, subscribe, sync
from wire_codec import Code, Frame as F, encode
from wire_socket import close_fds, recv_packet, send_packet

PUB5 = encode([F.PUB, 5, "unknown", {}, b""])
PUB16 = encode([F.PUB, 16, "unknown", {}, b""])
PING = encode([F.PING, 1])


class Hostile(FdTest):
    """While the broker is stopped an attacker prepares something; then the others must be served.

    Whoever waits for the broker longer than for all its deadlines fails the test.
    """

    def setUp(self):
        super().setUp()
        self.lingerers = Lingering()
        self.addCleanup(self.lingerers.close)
        self.before = self.broker.count_fds()

    def exchange(self):
        """The others are served, with descriptors and without."""
        (fd,) = self.files(1)
        for fds in ([], [fd]):
            self.assertEqual(confirmed(self.publisher, "a.b", fds=fds), 1)
            close_fds(self.receiver.take(is_delivery).fds)

    def wait_all_closed(self):
        eventually(lambda: self.broker.count_fds() == self.before, "all are closed")


class Received(Hostile):
    def test_lingering_connections_cost_no_time(self):
        """Five of half a minute and more: all are closed as if none lingered."""
        attacker = self.connect()
        self.before = self.broker.count_fds()
        socks = [self.lingerers.connect() for _ in range(5)]
        self.broker.pause()
        attacker.send_raw(PUB5, [sock.fileno() for sock in socks])
        close_all(socks)
        self.broker.go_on()
        self.exchange()
        self.wait_all_closed()

    def test_a_hundred_of_them_cost_no_time(self):
        attacker = self.connect()
        self.before = self.broker.count_fds()
        socks = [self.lingerers.connect() for _ in range(96)]
        self.broker.pause()
        for at in range(0, 96, 16):
            attacker.send_raw(PUB16, [sock.fileno() for sock in socks[at:at + 16]])
        close_all(socks)
        self.broker.go_on()
        self.exchange()
        self.wait_all_closed()

    def test_those_that_wait_in_a_socketpair_cost_no_time(self):
        """An end of a pair is harmless by itself, and closes what waits in it."""
        attacker = self.connect()
        self.before = self.broker.count_fds()
        self.broker.pause()
        one, other = socket.socketpair()
        for _ in range(8):
            with self.lingerers.connect() as sock:
                send_packet(one, b"x", [sock.fileno()])
        attacker.send_raw(encode([F.PUB, 1, "unknown", {}, b""]), [other.fileno()])
        close_all([one, other])
        self.broker.go_on()
        self.exchange()
        self.wait_all_closed()

    def test_what_a_receiver_got_lingers_as_its_owner_wished(self):
        with self.lingerers.connect() as sock:
            self.publisher.publish("a.b", fds=[sock.fileno()])
            (fd,) = self.take().fds
            sync(self.publisher)
            with socket.socket(fileno=os.dup(fd)) as got:
                self.assertEqual(got.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8),
                                 sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
            self.lingerers.close()                  # or we would linger ourselves


class Queued(Hostile):
    """They wait in a connection that is closed before they have been received."""

    def leave(self, attacker, packets):
        """The broker ends the session over the first packet, and the rest is never received."""
        self.broker.pause()
        attacker.send_raw(b"\xc1")
        for _ in range(packets):
            with self.lingerers.connect() as sock:
                attacker.send_raw(encode([F.PUB, 1, "unknown", {}, b""]), [sock.fileno()])

    def test_a_session_that_is_ended_costs_no_time(self):
        attacker = self.connect()
        self.leave(attacker, 40)
        self.broker.go_on()
        self.expect_bye(attacker, Code.PROTOCOL)
        self.assertEqual(recv_packet(attacker.sock), (b"", []))     # the end comes at once, too
        self.exchange()
        attacker.close()
        self.wait_all_closed()

    def test_a_subscriber_that_is_killed_costs_no_time(self):
        """What was on its way to it is closed by the kernel, in the process that died."""
        def receive(child):
            session = self.connect()
            subscribe(session, "l.>", max_fds=16)
            child.say("subscribed")
            child.hear()

        child = self.fork(receive)
        child.hear()
        child.signal(signal.SIGSTOP)
        child.wait_stopped()
        for _ in range(4):
            with self.lingerers.connect() as sock:
                self.assertEqual(confirmed(self.publisher, "l.x", fds=[sock.fileno()]), 1)
        child.signal(signal.SIGKILL)
        self.exchange()
        self.lingerers.close()
        child.end(-signal.SIGKILL)
        self.wait_all_closed()

    def test_the_broker_ends_at_once(self):
        attacker = self.connect()
        self.leave(attacker, 8)
        self.broker.go_on()
        self.expect_bye(attacker, Code.PROTOCOL)
        self.broker.stop()


class Odd(Hostile):
    """Packets that no client sends."""

    def test_an_empty_packet_with_descriptors_ends_the_session_that_sent_it(self):
        with self.leaves_nothing() as fd:
            for count in (1, 16, 253):
                with self.connect() as session:
                    if session.sock.type != socket.SOCK_SEQPACKET:
                        return
                    session.send_raw(b"", [fd() for _ in range(count)])
                    self.assertIsNone(session.next_event())
        self.exchange()

    def test_the_kernel_takes_no_more_than_253_and_the_broker_no_more_than_16(self):
        with self.leaves_nothing() as fd, self.connect() as session:
            fds = [fd()] * 254
            with self.assertRaises(OSError):
                session.send_raw(PUB16, fds)
            session.send_raw(PUB16, fds[:253])
            # A stream's packet is not taken any further than to its 17th.
            self.expect_bye(session, Code.PROTOCOL if harness.KIND == "stream"
                            else Code.DESCRIPTORS)
        self.exchange()

    def test_who_sends_when_the_broker_can_open_no_more_is_told_and_nobody_is_ended(self):
        """Three times in a row; what killed dbus-daemon and dbus-broker (CVE-2020-12049)."""
        most = resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE)
        with self.leaves_nothing() as fd:
            sessions = [self.connect() for _ in range(3)]
            full = self.broker.count_fds()
            for session in sessions:
                # The numbers up to the highest are in use; `full` is close to that.
                resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, (full, most[1]))
                for confirm in (True, False):
                    asked = session.publish("a.b", b"", fds=[fd() for _ in range(16)],
                                            confirm=confirm)
                    self.expect_err(session.answer(asked), Code.LIMIT, "held_fds")
                session.send_frames([F.BEGIN, 16, "a.b", {}, 0], fds=[fd() for _ in range(16)])
                self.expect_err(session.answer(0), Code.LIMIT, "held_fds")
                session.send_frames([F.END, 0])
                self.assertEqual(confirmed(self.publisher, "a.b"), 1)
                self.receiver.take(is_delivery)
                resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, most)
                self.assertEqual(confirmed(session, "a.b", fds=[fd()]), 1)
                close_fds(self.receiver.take(is_delivery).fds)
                # What is wrong about such a packet is wrong all the same.
                resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, (full, most[1]))
                session.send_raw(PING, [fd() for _ in range(16)])
                self.expect_bye(session, Code.PROTOCOL)
                resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, most)
                session.close()
            self.exchange()

    def test_sockets_that_hold_each_other_are_collected(self):
        """A thousand ends of pairs, each of which waits to be received from its own other end."""
        (spare,) = self.files(1)
        with self.leaves_nothing() as fd:
            for _ in range(64):
                witness, fds = fd(), []
                for _ in range(16):
                    one, other = socket.socketpair()
                    send_packet(one, b"x", [other.fileno(), one.fileno(), witness])
                    one.close()
                    fds.append(other.detach())
                self.assertEqual(confirmed(self.publisher, "unknown", fds=fds), 0)
                close_fds(fds)
            # The kernel looks for them when the next socket is sent that could be one.
            for _ in range(3):
                one, other = socket.socketpair()
                send_packet(one, b"x", [other.fileno(), spare])
                close_all([one, other])
        self.exchange()


if __name__ == "__main__":
    harness.main()
