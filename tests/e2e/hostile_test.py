"""Clients that mean no good, or are broken: none of them is noticed by anybody else."""

import os
import random
import re
import resource
import signal
import socket
import time

import harness
from child import eventually
from wire_case import (
    BrokerTest, confirmed, is_delivery, status, subscribe, sync, take_payloads)
from wire_codec import Code, Frame as F, encode
from wire_socket import new_socket, recv_packet, send_packet, socket_name

HELLO = encode([F.HELLO, 1, "hostile", 1, {}])
PUB = encode([F.PUB, 0, "a.b", {"k": "v"}, b"payload"])
FD_PUB = encode([F.PUB, 1, "a.b", {}, b""])


def fd_packet(session, data, fds):
    """Send a packet with descriptors; a kernel that refuses them for the broker is as good."""
    try:
        return session.send_raw(data, fds)
    except PermissionError:
        return False


class HostileTest(BrokerTest):
    """Beside each hostile client, a pair exchanges messages that must all arrive, in order."""

    def setUp(self):
        super().setUp()
        self.victims = self.connect(), self.connect()
        subscribe(self.victims[1], "victim.*")
        self.n_exchanged = 0

    def exchange(self):
        """One more message of the pair."""
        publisher, receiver = self.victims
        payload = b"%d" % self.n_exchanged
        self.assertGreaterEqual(confirmed(publisher, "victim.x", payload), 1)
        delivery = receiver.take(is_delivery)
        self.assertEqual((delivery.seq, delivery.payload), (self.n_exchanged + 1, payload))
        self.n_exchanged += 1

    def idle(self):
        """It sleeps: what it does not do while it spins."""
        def is_asleep():
            with open(f"/proc/{self.broker.pid}/stat", encoding="ascii") as file:
                return file.read().rpartition(")")[2].split()[0] == "S"
        eventually(is_asleep, "the broker has nothing to do")


class Packets(HostileTest):
    def test_an_empty_packet_is_the_end(self):
        for session in (self.socket(), self.connect()):
            session.send_raw(b"")
            if harness.KIND == "stream":            # has no such packet, only a length of 0
                self.expect_bye(session, Code.PROTOCOL)
            else:
                self.assertIsNone(session.next_event())
            self.exchange()

    def test_garbage_of_every_size_ends_the_session_that_sent_it(self):
        rng = random.Random(2)
        sizes = [1, 2, 3, 7, 100, 1000, 65024, 65025, 65535, 65536]
        for size in sizes + [rng.randrange(1, 300) for _ in range(60)]:
            for session in (self.socket(), self.connect()):
                session.send_raw(rng.choice((b"", HELLO[:2], b"\x95\x10", b"\xdc")) * (size > 3)
                                 + rng.randbytes(size - 3 * (size > 3)))
                self.expect_bye(session, Code.PROTOCOL)
            self.exchange()

    def test_frames_cut_anywhere_end_the_session(self):
        for end in range(1, len(HELLO)):
            session = self.socket()
            session.send_raw(HELLO[:end])
            self.expect_bye(session, Code.PROTOCOL)
        ingress, request = encode([F.INGRESS, 1, 1, 0]), encode([F.REQUEST, 1, 5, 0])
        for whole in (encode([F.SUB, 1, 1, "a.>", {"max_fds": 4, "observer": True}]),
                      ingress + PUB, request + PUB):
            for end in range(1, len(whole)):
                session = self.connect()
                session.send_raw(whole[:end])
                if whole[:end] == ingress:          # which governs nothing
                    sync(session)
                else:
                    self.expect_bye(session, Code.PROTOCOL)
                session.close()
            self.exchange()

    def test_packets_that_are_too_long_end_the_session(self):
        for size in (65537, 70000, 200000):
            for session in (self.socket(), self.connect()):
                data = (HELLO if session.state == "connected" else PUB) + bytes(size)
                session.send_raw(data[:size])
                self.expect_bye(session, Code.PROTOCOL, "packet_bytes")
            self.exchange()

    def test_descriptors_in_a_wrong_place_are_taken_by_nobody_and_leak_nowhere(self):
        read_end, write_end = os.pipe()
        pair = socket.socketpair()
        receiver = self.connect()
        subscribe(receiver, "a.>", max_fds=16)
        for fds in ([read_end], [read_end] * 16, [read_end] * 17, [read_end] * 200,
                    [end.fileno() for end in pair]):
            for data in (HELLO, FD_PUB, PUB, encode([F.PING, 1]), encode([0x40]), b"\xc1", b""):
                for session in (self.socket(), self.connect()):
                    if session.state == "open" and data == FD_PUB and len(fds) == 1:
                        continue                    # which is right
                    if fd_packet(session, data, fds):
                        self.assertIn(self.first_error(session),
                                      (Code.DESCRIPTORS, Code.PROTOCOL, Code.REFUSED, None))
                    session.close()
            self.exchange()
        os.close(write_end)
        self.assertEqual(os.read(read_end, 1), b"")     # nobody else has an end of it
        os.close(read_end)
        pair[0].close()
        self.assertEqual(pair[1].recv(1), b"")
        pair[1].close()

    def first_error(self, session):
        """The code of the first ERR or BYE, None: the end."""
        for event in session:
            if hasattr(event, "code"):
                return event.code
        return None

    def test_descriptors_that_did_not_come_end_the_session(self):
        for count in (1, 16, 17, 2**32):
            session = self.connect()
            session.send_raw(encode([F.PUB, count, "a.b", {}, b""]))
            self.assertIn(self.first_error(session), (Code.DESCRIPTORS, Code.PROTOCOL))
        self.exchange()

    def test_random_frames_disturb_nobody_and_are_answered_by_the_page(self):
        rng = random.Random(20)
        for _ in range(1000):
            session = self.connect()
            for _ in range(rng.randrange(1, 6)):
                if not session.send_raw(self.random_packet(rng)):
                    break
            if rng.random() < 0.5:
                session.send_raw(encode([F.BYE, 0, ""]))
                list(session)                       # the client checks every frame of it
            session.close()
            self.exchange()

    def random_packet(self, rng):
        """Frames with fields that are mostly right, and maybe some wrong bytes in them."""
        packet = b"".join(encode(self.random_frame(rng)) for _ in range(rng.randrange(1, 8)))
        packet = bytearray(packet[:65536])
        for _ in range(rng.choice((0, 0, 1, 1, 3))):
            packet[rng.randrange(len(packet))] = rng.choice(
                (rng.randrange(256), 0xc1, 0xdd, 0xdf, 0xdb, 0xc6, 0x91, 0xff))
        return bytes(packet[:rng.randrange(1, len(packet) + 1)] if rng.random() < 0.1 else packet)

    @staticmethod
    def random_frame(rng):
        small, big = rng.randrange(20), rng.choice((0, 255, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1))
        number = rng.choice((small, small, small, big))
        topic = rng.choice(("a.b", "a.*", "*.b", ">", "$sys.status", "", "_x.y", "hostile",
                            "x" * rng.randrange(300), ".".join("a" * rng.randrange(1, 20))))
        value = rng.choice((0, -1, 1.5, None, True, "text", b"bin", [], {}))
        pub = [F.PUB, 0, topic, rng.choice(({}, {"k": value})), bytes(rng.choice((0, 10, 9000)))]
        return rng.choice((
            pub, pub, pub, [F.SUB, number, small, topic, rng.choice(({}, {"observer": True}))],
            [F.UNSUB, number, small], [F.INGRESS, rng.choice((0, 1, 4, 5, 8, big)), number],
            [F.REQUEST, number, rng.choice((0, 1, 50))], [F.REPLY, number, rng.choice((0, 8, 16))],
            [F.CANCEL, number], [F.PING, number], [F.PONG, number], [F.ACK, number, number],
            [F.CREDIT, rng.randrange(4), number, number], [F.HELLO, 1, "again", 0],
            [F.BEGIN, 0, topic, {}, number], [F.CHUNK, bytes(small)], [F.END, rng.randrange(3)],
            [rng.randrange(256), value], [rng.randrange(0x40, 0x80), value], [value]))


class Connections(HostileTest):
    def test_silent_connections_are_limited_and_do_not_keep_the_open_sessions_from_working(self):
        silent = [self.socket() for _ in range(300)]
        for session in silent[256:]:
            self.expect_bye(session, Code.LIMIT, "unready")
        self.exchange()
        self.expect_bye(self.socket(), Code.LIMIT, "unready")
        for session in silent[:10]:
            session.close()
        eventually(lambda: status(self.victims[0])["sessions"] <= 2 + 246, "they are gone")
        for session in silent[10:20]:
            session.hello("late")
        sync(self.connect())

    def test_silent_connections_are_over_after_handshake_ms(self):
        broker = self.new_broker(limits={"handshake_ms": 300, "unready": 5})
        for session in [self.socket(broker.address) for _ in range(5)]:
            self.expect_bye(session, Code.TIMEOUT)
        sync(self.connect(broker.address))

    def test_sessions_are_limited(self):
        broker = self.new_broker(limits={"sessions": 5})
        sessions = [self.connect(broker.address) for _ in range(5)]
        self.expect_bye(self.socket(broker.address), Code.LIMIT, "sessions")
        sync(sessions[0])
        sessions[1].bye()
        self.expect_bye(sessions[1], Code.NONE)
        sync(self.connect(broker.address))

    def test_connections_that_come_and_go_leave_nothing(self):
        for number in range(2000):
            session = self.socket()
            if number % 3:
                session.send_raw(HELLO)
            if number % 5 == 0:
                session.sock.shutdown(socket.SHUT_WR)
            session.close()
            if number % 100 == 0:
                self.exchange()

    def test_without_descriptors_connections_wait_and_none_is_lost(self):
        broker = self.new_broker(preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (40, 40)))
        begin = time.monotonic()
        sessions = [self.socket(broker.address) for _ in range(60)]
        for session in sessions:
            session.send_raw(HELLO)
        pause = re.compile(r"broker: a listener pauses for 100 ms: .*")
        for _ in range(5):                          # no more often, so it does not spin
            broker.process.wait_line(pause, "err")
        self.assertGreater(time.monotonic() - begin, 0.3)
        for session in sessions:                    # each that goes lets one in
            self.assertEqual(session.next_event().version, 1)
            session.close()
        sync(self.connect(broker.address))

    def test_a_full_backlog_is_served_when_the_broker_goes_on(self):
        path = "/proc/sys/net/core/somaxconn"       # of this test's own network
        with open(path, encoding="ascii") as file:
            usual = file.read()
        self.write(path, "8")
        broker = self.new_broker()
        self.write(path, usual)
        broker.pause()
        waiting = []
        with self.assertRaises(BlockingIOError):
            while True:
                waiting.append(self.socket(broker.address))
        self.assertEqual(len(waiting), 9)

        def connect_and_wait(child):
            with new_socket(broker.address) as sock:
                child.say("now")
                sock.connect(socket_name(broker.address))
                send_packet(sock, HELLO)
                assert recv_packet(sock)[0]

        child = self.fork(connect_and_wait)
        child.hear()
        broker.go_on()
        for session in waiting:
            session.hello("waiting")
        child.end()


    def write(self, path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


class Behaviour(HostileTest):
    limits = {"queue_bytes": 65536, "window_bytes": 262144}

    def flood(self, child, address):
        """Publishes to nobody as fast as it can, for ever."""
        session = self.connect(address)
        packet = encode([F.PUB, 0, "nobody", {}, bytes(60)]) * 800
        child.say("ready")
        while session.send_publications(packet):
            pass

    def test_a_flood_does_not_starve_the_others(self):
        children = [self.fork(self.flood, self.broker.address) for _ in range(2)]
        for child in children:
            child.hear()
        for _ in range(1000):
            self.exchange()
        for child in children:
            child.kill()

    def test_who_reads_no_more_but_stays_connected_costs_no_time(self):
        session = self.connect()
        subscribe(session, "deaf")
        session.sock.shutdown(socket.SHUT_RD)
        self.assertEqual(confirmed(self.victims[0], "deaf", b"!"), 1)
        self.idle()
        session.send_frames([F.PUB, 0, "victim.y", {}, b"still speaking"])
        self.assertEqual(take_payloads(self.victims[1], 1), [b"still speaking"])
        self.n_exchanged += 1
        self.idle()
        session.sock.shutdown(socket.SHUT_WR)
        session.close()
        self.exchange()

    def test_a_peer_that_is_gone_with_output_waiting_costs_no_time(self):
        for leave in (lambda sock: sock.shutdown(socket.SHUT_RDWR), lambda sock: sock.close(),
                      lambda sock: sock.shutdown(socket.SHUT_WR)):
            session = self.connect()
            subscribe(session, "slow")
            for _ in range(100):
                self.victims[0].publish("slow", bytes(2000))
            sync(self.victims[0])
            leave(session.sock)
            self.exchange()
            self.idle()
            session.close()

    def test_who_is_stalled_and_never_reads_again_is_gone_none_the_less(self):
        broker = self.new_broker(limits={"queue_bytes": 65536, "stall_ms": 50})
        stalled, publisher = self.connect(broker.address), self.connect(broker.address)
        subscribe(stalled, "slow")
        for _ in range(100):
            publisher.publish("slow", bytes(8000))
        broker.wait_status(lambda report: report["sessions"] == 2, "end of the stalled one")
        self.expect_bye(stalled, Code.STALLED)

    def test_a_session_that_is_stopped_is_nobody_elses_matter(self):
        def stop(child):
            session = self.connect()
            subscribe(session, "other")
            child.say("ready")
            os.kill(os.getpid(), signal.SIGSTOP)
            assert take_payloads(session, 50) == [b""] * 50

        child = self.fork(stop)
        child.hear()
        child.wait_stopped()
        for _ in range(50):
            self.assertEqual(confirmed(self.victims[0], "other"), 1)
            self.exchange()
        self.idle()
        child.signal(signal.SIGCONT)
        child.end()


if __name__ == "__main__":
    harness.main()
