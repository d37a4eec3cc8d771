"""Socket activation: somebody else has the listeners, and passes them on to one broker after the
other (LISTEN_FDS). Who connects while there is none waits, and is served by the next.
"""

import array
import contextlib
import os
import signal
import socket
import unittest

import harness
from child import eventually
from passed_case import PassedOn, new_listener, pass_on
from wire_case import PlaceTest, confirmed, is_delivery, status, subscribe
from wire_client import Session
from wire_codec import Frame as F, encode
from wire_socket import connect_to

SO_PASSRIGHTS = 83
HELLO = encode([F.HELLO, 1, "early", 1, {}])
PUBLICATION = encode([F.PUB, 0, "a.b", {}, b"early"])


def passes_rights(sock):
    """Whether those who connect to it may send descriptors; None: this kernel cannot refuse."""
    with contextlib.suppress(OSError):
        return bool(sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS))
    return None


def send_descriptor(sock, data):
    """Standard input, with these bytes."""
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])


class PassedTest(PlaceTest):
    def listener(self, address):
        """Goes with the test."""
        sock = new_listener(address)
        self.addCleanup(sock.close)
        return sock

    def pass_on(self, *sockets, address=None, **more):
        """A broker that has these."""
        broker = PassedOn(*sockets, address=address or self.path, **more)
        self.addCleanup(broker.finish)
        return broker

    def early(self, address=None):
        """A client that has connected, and begun to speak, while nobody serves."""
        session = Session.connect(address or self.path, timeout=harness.DEADLINE_S)
        self.addCleanup(session.close)
        session.send_raw(HELLO)
        return session

    def is_served(self, session):
        """It is welcome; then it goes."""
        session.next_event()
        self.assertTrue(session.welcome)
        self.assertEqual(confirmed(session, "nobody.listens"), 0)
        session.close()             # before the broker is looked at, at the end of the test


class Life(PassedTest):
    def test_who_connected_before_the_broker_came_is_served(self):
        for address in (self.path, f"stream:{self.at('t')}"):
            listener = self.listener(address)
            session = self.early(address)
            broker = self.pass_on(listener, address=address)
            self.is_served(session)
            self.assertEqual(broker.listening(), [f"{address} (passed on)"])

    def test_what_was_passed_on_is_served_besides_listen_and_instead_of_the_defaults(self):
        first, second = self.listener(self.at("1")), self.listener(f"stream:{self.at('2')}")
        env = harness.clean_env(BATON_ADDRESS=self.at("default"))
        broker = self.pass_on(first, second, address=self.at("1"), env=env)
        self.assertEqual(broker.listening(),
                         [f"{self.at('1')} (passed on)", f"stream:{self.at('2')} (passed on)"])
        for address in (self.at("1"), f"stream:{self.at('2')}"):
            self.connect(address)
        self.assertFalse(os.path.exists(self.at("default")))
        third = self.listener(self.at("3"))
        broker = self.pass_on(third, address=self.at("3"), listen=(self.at("4"),))
        for name in "34":
            self.connect(self.at(name))
        self.assertEqual(broker.listening(), [f"{self.at('3')} (passed on)", self.at("4")])

    def test_one_that_was_killed_is_followed_by_another(self):
        listener = self.listener(self.path)
        broker = self.pass_on(listener)
        last = self.connect(self.path)
        broker.kill()
        self.assertEqual(list(last), [])
        waiting = [self.early() for _ in range(8)]
        self.pass_on(listener)
        for session in waiting:
            self.is_served(session)

    def test_one_that_ends_leaves_the_name_and_what_waits(self):
        listener = self.listener(self.path)
        inode = os.stat(self.path).st_ino
        broker = self.pass_on(listener)
        self.connect(self.path).close()
        broker.stop()
        self.assertEqual(os.stat(self.path).st_ino, inode)
        self.assertEqual(os.listdir(self.directory), [os.path.basename(self.path)])
        waiting = self.early()
        self.pass_on(listener)
        self.is_served(waiting)

    def test_two_at_once_serve_what_each_gets(self):
        """One that hangs, or drains, does not keep the next from the same listener."""
        listener = self.listener(self.path)
        hung = self.pass_on(listener)
        hung.pause()
        self.pass_on(listener)
        for _ in range(10):
            self.connect(self.path).close()
        self.assertTrue(hung.is_running())
        hung.go_on()

    def test_clients_are_told_the_broker_and_not_who_made_the_listener(self):
        if os.geteuid():
            self.skipTest("takes a program of root's")
        listener = self.listener(self.path)
        broker = self.pass_on(listener)
        with connect_to(self.path) as sock:
            said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.assertEqual(int.from_bytes(said[:4], "little"), harness.pid_said(broker.pid)
                         or broker.pid)


class Descriptors(PassedTest):
    @unittest.skipIf(harness.IS_PORTABLE, "it refuses none")
    def test_they_are_refused_before_anybody_is_accepted(self):
        listener = self.listener(self.path)
        if passes_rights(listener) is None:
            self.skipTest("before Linux 6.16 the kernel lets all descriptors in")
        self.assertTrue(passes_rights(listener))
        broker = self.pass_on(listener)
        self.assertFalse(passes_rights(listener))
        broker.pause()
        with connect_to(self.path) as sock, self.assertRaises(PermissionError):
            send_descriptor(sock, HELLO)
        broker.go_on()

    def test_who_connected_before_cannot_send_any_once_accepted(self):
        """Its socket was made when nobody refused them; what it sent then goes to nobody."""
        listener = self.listener(self.path)
        unused = self.pass_on(self.listener(self.at("unused")), address=self.at("unused"))
        with connect_to(self.path) as quiet, connect_to(self.path) as sender:
            send_descriptor(sender, HELLO)
            broker = self.pass_on(listener)
            broker.expected_fds = unused.expected_fds   # its own count may have met the sent one
            with Session.connect(self.path, timeout=harness.DEADLINE_S) as session:
                session.hello("last")       # who comes behind them is served, so they were accepted
                session.next_event()
                self.assertEqual(status(session)["sessions"], 2)
            if passes_rights(listener) is False:
                with self.assertRaises(PermissionError):
                    send_descriptor(quiet, HELLO)
            sender.settimeout(harness.DEADLINE_S)
            sender.recv(1000)
            self.assertEqual(sender.recv(1000), b"")
        eventually(lambda: broker.count_fds() == broker.expected_fds, "nothing is left")


class Wrong(PassedTest):
    def refuses(self, fds, said, *words, status=1, **options):
        """It ends with one line, and never says `ready`."""
        result = pass_on(harness.run, fds, *words, **options)
        self.assertEqual((result.status, result.out), (status, b""), result)
        self.assertRegex(result.err.decode(), rf"\Abroker: [^\n]*{said}[^\n]*\n\Z")

    def unbound(self, kind=socket.SOCK_SEQPACKET, family=socket.AF_UNIX):
        """Not bound, and goes with the test."""
        sock = socket.socket(family, kind)
        self.addCleanup(sock.close)
        return sock

    def test_what_cannot_be_served_is_refused(self):
        bound = self.unbound()
        bound.bind(self.at("bound"))
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in ends:
            self.addCleanup(sock.close)
        inet = self.unbound(socket.SOCK_STREAM, socket.AF_INET)
        inet.listen()
        with open("/dev/null", "rb") as file:
            self.refuses([file.fileno()], "descriptor 3, passed on to be served: not a socket of")
        self.refuses([inet.fileno()], "descriptor 3, .*: not a socket of AF_UNIX")
        self.refuses([bound.fileno()], "descriptor 3, .*: a socket that does not listen")
        self.refuses([ends[0].fileno()], "descriptor 3, .*: a socket that does not listen")

    def test_datagrams_without_a_name_are_refused(self):
        self.refuses([self.unbound(socket.SOCK_DGRAM).fileno()], "bound to no name")

    def test_a_number_that_is_not_true_is_refused(self):
        listener = self.listener(self.path)
        self.refuses([listener.fileno()], "descriptor 4, .*: Bad file descriptor", count=2)
        self.refuses([listener.fileno()], "LISTEN_FDS=99: at most 16", count=99)
        for bad in ("x", "-1", "0", "1x", "''"):
            self.refuses([listener.fileno()], f"LISTEN_FDS={bad}: not a number", count=bad)

    def test_none_is_served_if_one_cannot_be(self):
        listener = self.listener(self.path)
        result = pass_on(harness.run, [listener.fileno(), self.unbound().fileno()])
        self.assertEqual(result.status, 1, result)
        self.assertNotIn(b"ready", result.err)
        self.assertIn(b"descriptor 4, passed on to be served: a socket that does not listen\n",
                      result.err)

    def test_it_is_not_a_client_as_well(self):
        listener = self.listener(self.path)
        self.refuses([listener.fileno()], "--client-fd 3: passed on", "--client-fd", 3, status=2)

    def test_what_is_for_another_process_is_ignored(self):
        listener = self.listener(self.at("other"))
        for pid in (os.getpid(), 1, "x", f"{1 << 70}"):
            env = harness.clean_env(BATON_ADDRESS=self.at("default"))
            broker = pass_on(harness.popen, [listener.fileno()], pid=pid, count="junk", env=env)
            self.addCleanup(broker.end)
            broker.wait_line(f"broker: listening on {self.at('default')}", "err")
            broker.wait_line("ready", "err")
            self.connect(self.at("default")).close()
            broker.signal(signal.SIGTERM)
            self.assertEqual(broker.result().status, 0)


@unittest.skipIf(harness.IS_PORTABLE, "no abstract names, no datagrams")
class Linux(PassedTest):
    def test_an_abstract_name_is_served(self):
        name = f"{self.directory}/abstract".replace("/", "@", 1)
        listener = self.listener(name)
        session = self.early(name)
        broker = self.pass_on(listener, address=name)
        self.is_served(session)
        self.assertEqual(broker.listening(), [f"{name} (passed on)"])

    def test_datagrams_are_heard_from_whom_they_are(self):
        """But for those that came before their senders were asked for."""
        path = f"dgram:{self.at('d')}"
        inbox = self.listener(path)
        with connect_to(path) as sender:
            sender.send(PUBLICATION)
            broker = self.pass_on(inbox, self.listener(self.path))
            eventually(lambda: broker.status()["datagrams_refused"] == 1, "the early one")
            subscriber = self.connect(self.path)
            subscribe(subscriber, "a.b")
            sender.send(PUBLICATION.replace(b"early", b"later"))
            delivery = subscriber.take(is_delivery)
        self.assertEqual(delivery.payload, b"later")
        self.assertEqual(broker.status()["datagrams_refused"], 1)
        broker.kill()
        with connect_to(path) as sender:
            sender.send(PUBLICATION)
        broker = self.pass_on(inbox, self.listener(self.at("u")), address=self.at("u"))
        eventually(lambda: broker.status()["datagrams"] == 1, "it waited for the next broker")
        self.assertEqual(broker.status()["datagrams_refused"], 0)


if __name__ == "__main__":
    harness.main()
