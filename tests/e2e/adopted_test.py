"""`--client-fd N`: a parent makes a pair of sockets, gives one end to a broker and the other to a
client. Nobody has connected, so the kernel's word for who the client is comes with its HELLO.
"""

import os
import resource
import signal
import socket

import harness
from fd_case import Witness
from wire_case import PlaceTest, confirmed, is_delivery, status, subscribe, sync, take_payloads
from wire_client import Session
from wire_codec import Code, Frame as F, encode
from wire_socket import STREAM_FIRST, STREAM_HEAD, close_fds, send_packet

KINDS = {"seqpacket": socket.SOCK_SEQPACKET, "stream": socket.SOCK_STREAM}
HELLO = encode([F.HELLO, 1, "early", 1, {}])


def pass_credentials(sock):
    """What is sent from now on says who sent it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


class AdoptedTest(PlaceTest):
    def pair(self, kind="seqpacket"):
        """The client's end and the broker's; they go with the test."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, KINDS[kind])
        ours.settimeout(harness.DEADLINE_S)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return ours, theirs

    def adopt(self, *sockets, listen=(), **options):
        """A broker that has been given these; our copies of them are closed."""
        words = [word for sock in sockets for word in ("--client-fd", str(sock.fileno()))]
        for address in listen:
            words += ["--listen", address]
        broker = harness.popen("broker", *words, env=harness.clean_env(),
                               pass_fds=[sock.fileno() for sock in sockets], **options)
        self.addCleanup(broker.end)
        for sock in sockets:
            broker.wait_line(f"broker: serving the client at descriptor {sock.fileno()}", "err")
            sock.close()
        broker.wait_line("ready", "err")
        return broker

    def session(self, sock, name="adopted", **hello):
        """Open a session over our end."""
        session = Session(sock)
        self.addCleanup(session.close)
        session.hello(name, **hello)
        session.next_event()
        return session

    def ends_well(self, broker):
        """It ends by itself, with status 0, and has no complaint."""
        self.assertEqual(broker.wait(), 0)
        self.assertIsNone(harness.SANITIZER.search(broker.err.rest()), broker.err.rest())


class Life(AdoptedTest):
    def test_a_client_that_was_given_its_socket_does_all_that_others_do(self):
        for kind in KINDS:
            ours, theirs = self.pair(kind)
            broker = self.adopt(theirs)
            session = self.session(ours)
            subscribe(session, "a.*", max_fds=1)
            with open("/dev/null", "rb") as file:
                self.assertEqual(confirmed(session, "a.b", b"to myself", fds=[file.fileno()]), 1)
            delivery = session.take(is_delivery)
            self.assertEqual((delivery.payload, len(delivery.fds)), (b"to myself", 1))
            close_fds(delivery.fds)
            for form in ("placed", "chunked"):
                self.assertEqual(confirmed(session, "a.b", bytes(300000), form=form), 1)
                self.assertEqual(session.take(is_delivery).payload, bytes(300000))
            self.assertEqual(status(session)["sessions"], 1)
            session.bye()
            self.expect_bye(session, Code.NONE)
            self.ends_well(broker)

    def test_the_broker_ends_with_the_last_of_its_clients_and_not_before(self):
        pairs = [self.pair(kind) for kind in (*KINDS, *KINDS)]
        broker = self.adopt(*(theirs for _, theirs in pairs))
        sessions = [self.session(ours) for ours, _ in pairs]
        subscribe(sessions[-1], "a.*")
        for session in sessions[:-1]:
            self.assertEqual(confirmed(session, "a.b", b"!"), 1)
            self.assertEqual(take_payloads(sessions[-1], 1), [b"!"])
            session.close()
        sync(sessions[-1])
        self.assertTrue(broker.is_running())
        sessions[-1].close()
        self.ends_well(broker)

    def test_a_client_that_is_gone_before_it_said_anything_is_gone(self):
        pairs = [self.pair(), self.pair("stream")]
        broker = self.adopt(*(theirs for _, theirs in pairs))
        for ours, _ in pairs:
            ours.close()
        self.ends_well(broker)
        ours, theirs = self.pair()
        ours.close()
        self.ends_well(self.adopt(theirs))

    def test_with_an_address_it_serves_both_and_stays(self):
        pairs = [self.pair(), self.pair("stream")]
        broker = self.adopt(*(theirs for _, theirs in pairs), listen=[self.name])
        adopted = [self.session(ours) for ours, _ in pairs]
        other = self.connect(self.name)
        for session in (*adopted, other):
            subscribe(session, "a.*")
        for session in (*adopted, other):
            self.assertEqual(confirmed(session, "a.b", b"!"), 3)
        for session in adopted:
            self.assertEqual(take_payloads(session, 3), [b"!"] * 3)
            session.close()
        while status(other)["sessions"] > 1:
            pass
        sync(self.connect(self.name))
        broker.signal(signal.SIGTERM)
        self.ends_well(broker)

    def test_sigterm_is_told_to_it_as_to_others(self):
        ours, theirs = self.pair()
        silent, given = self.pair()
        broker = self.adopt(theirs, given)
        session = self.session(ours)
        broker.signal(signal.SIGTERM)
        self.expect_bye(session, Code.SHUTDOWN)
        self.assertIn(silent.recv(1000)[:2], (b"", encode([F.BYE, Code.SHUTDOWN, ""])[:2]))
        self.ends_well(broker)

    def test_silence_ends_after_handshake_ms_as_for_others(self):
        for kind in KINDS:
            ours, theirs = self.pair(kind)
            words = ["--client-fd", theirs.fileno(), "--limit", "handshake_ms=200"]
            broker = harness.popen("broker", *words, pass_fds=[theirs.fileno()])
            self.addCleanup(broker.end)
            theirs.close()
            session = Session(ours)
            self.expect_bye(session, Code.TIMEOUT, "handshake_ms")
            session.close()
            self.ends_well(broker)

    def test_wrong_first_packets_end_it(self):
        for kind in KINDS:
            for data in (b"\xc1", encode([F.PING, 1]), HELLO + HELLO):
                ours, theirs = self.pair(kind)
                broker = self.adopt(theirs)
                session = Session(ours)
                session.send_raw(data)
                self.expect_bye(session, Code.PROTOCOL)
                session.close()
                self.ends_well(broker)

    def test_descriptors_before_hello_are_taken_by_nobody(self):
        for early in (True, False):
            ours, theirs = self.pair()
            witness = Witness()
            self.addCleanup(witness.close)
            if early:
                send_packet(ours, HELLO, [witness.fd], with_credentials=True)
            broker = self.adopt(theirs)
            try:
                if not early:
                    send_packet(ours, HELLO, [witness.fd], with_credentials=True)
            except PermissionError:                 # the kernel has refused them for the broker
                ours.close()
            else:
                self.expect_bye(Session(ours), Code.PROTOCOL)
            witness.wait_gone()
            ours.close()
            self.ends_well(broker)


class Identity(AdoptedTest):
    def attested(self, kind, prepare=lambda sock: None, **hello):
        """A child that was given the socket is who the broker says it is."""
        ours, theirs = self.pair(kind)

        def client(child):
            session = Session(ours)
            prepare(ours)
            session.hello("child", **hello)
            (seen,) = status(session)["clients"]
            child.say(f"{seen['pid']} {seen['uid']} {seen['gid']}")

        broker = self.adopt(theirs)
        child = self.fork(client)
        ours.close()
        said = child.hear()
        child.end()
        self.ends_well(broker)
        self.assertEqual(said, f"{harness.pid_said(child.pid)} {os.getuid()} {os.getgid()}")

    def test_the_client_is_who_said_hello_and_not_who_made_the_pair(self):
        for kind in KINDS:
            self.attested(kind)
            self.attested(kind, with_credentials=True)
            self.attested(kind, pass_credentials)

    def early(self, kind, prepare, **send):
        """A HELLO that was sent before the broker was there; what the broker answers."""
        ours, theirs = self.pair(kind)
        prepare(ours)
        self.assertTrue(send_packet(ours, HELLO, **send))
        broker = self.adopt(theirs)
        session = Session(ours)
        event = session.next_event()
        session.close()
        self.ends_well(broker)
        return event

    def test_hello_may_come_before_the_broker_if_credentials_come_with_it(self):
        for kind in KINDS:
            self.assertEqual(self.early(kind, lambda sock: None, with_credentials=True).version, 1)
            self.assertEqual(self.early(kind, pass_credentials).version, 1)

    def test_a_hello_that_two_processes_have_written_is_nobodys(self):
        ours, theirs = self.pair("stream")
        broker = self.adopt(theirs)
        ours.send(STREAM_HEAD.pack(STREAM_FIRST, len(HELLO)) + HELLO[:3])
        self.fork(lambda child: ours.send(HELLO[3:])).end()
        self.expect_bye(Session(ours), Code.REFUSED)
        ours.close()
        self.ends_well(broker)

    def test_hello_without_credentials_is_refused_and_told_why(self):
        for kind in KINDS:
            bye = self.early(kind, lambda sock: None)
            self.assertEqual(bye.code, Code.REFUSED)
            self.assertIn("SO_PASSCRED", bye.text)


class CommandLine(AdoptedTest):
    def test_what_is_no_number_of_a_descriptor_is_a_usage_error(self):
        for text in ("", "x", "-1", "0", "1", "2", "3x", "3.5", "0x5", "1e1", "2147483648", " 7",
                     "+7", "99999999999999999999"):
            self.fails(2, "--client-fd", text, said="descriptor")
        self.fails(2, "--client-fd")

    def cannot_be_served(self, file):
        """Said in one line that names it."""
        fd = file if isinstance(file, int) else file.fileno()
        self.fails(1, "--client-fd", str(fd), said=f"--client-fd {fd}: ", pass_fds=[fd], timeout=5)

    def test_what_is_no_socket_of_ours_is_named_in_one_line(self):
        ends, pair = os.pipe(), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with (open(ends[0], "rb") as reader, open(ends[1], "wb"), pair[0] as dgram, pair[1],
              socket.socket(socket.AF_INET) as inet, open("/dev/null", "rb") as null):
            for file in (reader, dgram, inet, null):
                self.cannot_be_served(file)

    def test_a_socket_without_a_client_behind_it_is_named_in_one_line(self):
        for kind in KINDS.values():
            with socket.socket(socket.AF_UNIX, kind) as alone:
                self.cannot_be_served(alone)
                alone.bind(self.at(f"listener {kind}"))
                alone.listen()
                self.cannot_be_served(alone)

    def test_what_is_not_open_is_named_in_one_line(self):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        for fd in (999, most - 1, most + 5):
            self.fails(1, "--client-fd", str(fd), said=f"--client-fd {fd}: Bad file descriptor")

    def test_the_same_descriptor_twice_is_said_to_be_that(self):
        _, theirs = self.pair()
        fd = theirs.fileno()
        result = harness.run("broker", "--client-fd", fd, "--client-fd", fd, pass_fds=[fd])
        self.assertIn(result.status, (1, 2))
        self.assertRegex(result.err.decode(), rf"broker: --client-fd {fd}: .*(twice|already|again)")

    def test_a_start_that_fails_ends_those_who_were_adopted_already(self):
        ours, theirs = self.pair()
        result = harness.run("broker", "--client-fd", theirs.fileno(), "--client-fd", 999,
                             pass_fds=[theirs.fileno()])
        theirs.close()
        self.assertEqual((result.status, result.out), (1, b""), result)
        self.assertNotIn(b"ready", result.err)
        self.assertIn(b"--client-fd 999: Bad file descriptor\n", result.err)
        self.assertEqual(ours.recv(100), b"")


if __name__ == "__main__":
    harness.main()
