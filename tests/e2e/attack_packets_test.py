"""Bytes that are no packets, or not the right ones, from a stranger (threats T10, T12, T15, T16).

Each ends at most the session that sent it. The bystanders of attack_case notice nothing.
"""

import contextlib
import os
import random
import select
import socket

import uid_case
from attack_case import MANY, AttackCase
from child import eventually
from wire_case import sync
from wire_codec import Code, Frame as F, encode
from wire_socket import recv_packet

HELLO = encode([F.HELLO, 1, "attacker", 1, {}])
PUB = encode([F.PUB, 0, "a.b", {"k": 1}, b"payload"])
VALID = (
    PUB, encode([F.INGRESS, 1, 1, 50]) + PUB, encode([F.INGRESS, 10, 0, 0]) + PUB,
    encode([F.REQUEST, 1, 50, 0]) + PUB,
    encode([F.REPLY, 1 << 33, 8, 1]) + encode([F.PUB, 0, "", {}, b""]),
    encode([F.SUB, 1, 1, "a.*", {"max_fds": 4, "overflow": "latest", "queue_bytes": 100}]),
    encode([F.SUB, 1, 1, "a.>", {"group": "g", "ack": True, "ack_ms": 50, "window": 3}]),
    encode([F.UNSUB, 1, 1]), encode([F.CREDIT, 2, 0, 1]), encode([F.ACK, 1, 9]),
    encode([F.NACK, 1, 9, 50]), encode([F.CANCEL, 1]), encode([F.PING, 1]), encode([F.BYE, 0, ""]),
    encode([F.BEGIN, 0, "a.b", {}, 0]) + encode([F.CHUNK, b"data"]) + encode([F.END, 0]),
    encode([0x55, "ignorable", [{}]]))
SIZES = [*range(1, 65), 100, 255, 256, 1000, 4096, 65024, 65025, 65535, 65536]


class Garbage(AttackCase):
    def both(self, address):
        """A session that has said nothing yet, and one that is open."""
        return self.socket(address), self.connect(address)

    def ends_by_protocol(self, session):
        self.assertIn(self.expect_bye(session, Code.PROTOCOL), ([], session.pending()))
        session.close()

    def test_garbage_of_every_size_ends_the_session_that_sent_it(self):
        self.begin(MANY)

        def act():
            rng = random.Random(6)
            for address in (self.name, self.stream):
                for size in SIZES:
                    for session in self.both(address):
                        first = rng.choice((b"\xc1", b"\xdd", b"\x95\x10", b"\x91", b"\xff"))
                        session.send_raw((first + rng.randbytes(size))[:size])
                        list(session)
                        self.assertIn(session.bye_received.code,
                                      (Code.PROTOCOL, Code.WINDOW, Code.DESCRIPTORS))
                        session.close()

        self.attack(act)
        self.peace()

    def test_streams_that_are_no_streams_of_packets_end(self):
        self.begin(MANY)

        def act():
            rng = random.Random(7)
            for size in SIZES:
                for session in self.both(self.stream):
                    data = rng.randbytes(size)
                    data = (b"\xcd" if data[:1] == b"\xce" else data[:1]) + data[1:]
                    with contextlib.suppress(BrokenPipeError):      # it may know before all is sent
                        session.sock.sendall(data)
                    self.ends_by_protocol(session)
            for head in (b"\xce\0\0\0\0", b"\xce\0\1\0\1", b"\xce\xff\xff\xff\xff"):
                for session in self.both(self.stream):
                    session.sock.sendall(head)
                    self.ends_by_protocol(session)

        self.attack(act)
        self.peace()

    def test_valid_packets_with_a_wrong_byte_disturb_nobody(self):
        self.begin(MANY, linger_ms=50)

        def act():
            rng = random.Random(8)
            for data in VALID:
                for at in range(len(data)):
                    byte = rng.choice((rng.randrange(256), 0xc1, 0xdd, 0xdf, 0xdb, 0x91, 0xff))
                    session = self.connect(self.name)
                    session.send_raw(data[:at] + bytes([byte]) + data[at + 1:])
                    self.answers(session)

        self.attack(act)
        self.peace(may_be=("policy",), may_stay=("retained", "retained_bytes"))

    def test_valid_packets_cut_anywhere_disturb_nobody(self):
        self.begin(MANY, linger_ms=50)

        def act():
            for data in VALID:
                for end in range(1, len(data)):
                    for address in (self.name, self.stream):
                        session = self.connect(address)
                        session.send_raw(data[:end])
                        self.answers(session)

        self.attack(act)
        self.peace()

    def answers(self, session):
        """It says what the page lets a broker say, and goes on or ends the session."""
        session.send_raw(encode([F.PING, 77]))
        for event in session:
            if getattr(event, "token", None) == 77:
                break
        session.close()

    def test_packets_that_are_too_long_end_the_session(self):
        self.begin(MANY)

        def act():
            for size in (65537, 65600, 70000, 100000, 150000):
                for session in self.both(self.name):
                    data = HELLO if session.state == "connected" else PUB
                    session.send_raw(data + bytes(size - len(data)))
                    self.expect_bye(session, Code.PROTOCOL)
                    session.close()

        self.attack(act)
        self.peace()


class Bombs(AttackCase):
    def test_msgpack_bombs_end_the_session_and_cost_nothing(self):
        broker = self.begin(MANY)
        deep = b"\x91" * 20000
        counts = [code + b"\xff" * width + tail for code, width in (
            (b"\xdd", 4), (b"\xdf", 4), (b"\xdb", 4), (b"\xc6", 4), (b"\xc9", 4), (b"\xdc", 2),
            (b"\xde", 2), (b"\xda", 2), (b"\xc5", 2), (b"\xc8", 2)) for tail in (b"", b"\x05")]
        counts += [b"\xdd\x7f\xff\xff\xff" * 12, b"\xdf\x00\x00\xff\xff" * 13, deep,
                   b"\x81\x01" * 9000, b"\xdc\xff\xff" * 20000, b"\x91" * 16 + b"\xc0"]

        def memory():
            with open(f"/proc/{broker.pid}/status", encoding="ascii") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

        def act():
            for bomb in counts:
                for data in (bomb, b"\x92\x40" + bomb, b"\x95\x01\x01\xa1x\x01" + bomb,
                             b"\x95\x09\x01\x01\xa1a" + bomb, b"\x95\x10\x00\xa1a" + bomb,
                             b"\x95\x10\x00\xa1a\x81\xa1k" + bomb):
                    for session in (self.socket(self.name), self.connect(self.name)):
                        session.send_raw(data[:65536])
                        self.expect_bye(session, Code.PROTOCOL)
                        session.close()

        before = memory()
        self.attack(act)
        self.assertLess(memory() - before, 16 << 10)    # KiB; of 4 GB none was believed
        self.peace()

    def test_as_deep_and_as_many_as_may_be_is_served(self):
        self.begin()

        def act():
            session = self.connect(self.name)
            session.send_raw(b"\x92\x40" + b"\x91" * 14 + b"\x90")              # 16
            session.send_raw(b"\x92\x40\xdc\xfd\xf0" + b"\xc0" * 0xfdf0)        # 65,008 values
            sync(session)
            session.send_raw(b"\x92\x40" + b"\x91" * 15 + b"\x90")              # 17
            self.expect_bye(session, Code.PROTOCOL)

        self.attack(act)
        self.peace()


class Descriptors(AttackCase):
    def test_empty_packets_are_the_end_with_and_without_descriptors(self):
        self.begin(MANY)

        def act():
            read_end, write_end = os.pipe()
            for fds in ([], [write_end], [write_end] * 16, [write_end] * 253):
                for address in (self.name, self.stream):
                    for session in (self.socket(address), self.connect(address)):
                        self.send_empty(session, fds)
                        events = [event for event in session if not hasattr(event, "version")]
                        self.assertIn([getattr(event, "code", None) for event in events],
                                      ([], [Code.PROTOCOL]))
                        session.close()
            os.close(write_end)
            self.assertTrue(select.select([read_end], [], [], 20)[0])   # nobody has an end of it

        self.attack(act)
        self.peace()

    def send_empty(self, session, fds):
        """Where the kernel lets descriptors in at all."""
        try:
            session.send_raw(b"", fds)
        except (PermissionError, OSError):
            session.send_raw(b"")

    def test_what_does_not_come_whole_by_a_stream_holds_no_more_than_a_packet_may(self):
        self.begin(MANY)
        before = self.broker.count_fds()

        def act(child):
            read_end, write_end = os.pipe()
            patient = []
            for _ in range(10):
                session = self.connect(self.stream)
                socket.send_fds(session.sock, [b"\xce\0"], [write_end] * 17)
                patient.append(session)
            greedy = self.connect(self.stream)
            socket.send_fds(greedy.sock, [b"\xce"], [write_end] * 17)
            socket.send_fds(greedy.sock, [b"\0"], [write_end])
            self.expect_bye(greedy, Code.PROTOCOL)
            for count in (18, 253):
                greedy = self.connect(self.stream)
                socket.send_fds(greedy.sock, [b"\xce"], [write_end] * count)
                self.expect_bye(greedy, Code.PROTOCOL)
                greedy.close()
            child.say("held")
            child.hear()
            for session in patient:
                session.close()
            os.close(write_end)
            self.assertTrue(select.select([read_end], [], [], 20)[0])

        child = self.as_user(uid_case.NOBODY, act)
        child.hear()
        eventually(lambda: self.broker.count_fds() - before <= 10 * (17 + 1) + 1,
                   "it keeps those of ten packets, and one connection that is not closed")
        child.say("go")
        child.end()
        self.peace()


class Dribble(AttackCase):
    def test_one_byte_at_a_time_is_a_packet_in_the_end(self):
        self.begin()

        def act():
            session = self.socket(self.stream)
            for data in (HELLO, encode([F.PING, 5])):
                for byte in b"\xce" + len(data).to_bytes(4, "big") + data:
                    session.sock.sendall(bytes([byte]))
                self.assertTrue(recv_packet(session.sock)[0])

        self.attack(act)
        self.peace()

    def test_who_never_ends_its_hello_is_ended_by_handshake_ms(self):
        self.begin(handshake_ms=300)

        def act():
            session = self.socket(self.stream)
            session.sock.sendall(b"\xce\0\0\0\x40" + HELLO[:5])
            self.expect_bye(session, Code.TIMEOUT, "handshake_ms")

        self.attack(act)
        self.peace("handshake_ms")

    def test_a_packet_that_is_never_whole_holds_up_nobody(self):
        self.begin()

        def act():
            sessions = [self.connect(self.stream) for _ in range(30)]
            for number, session in enumerate(sessions):
                session.sock.sendall(b"\xce\0\1\0\0" + bytes(number * 2000))
            for session in sessions:        # an end within it discards it
                session.sock.shutdown(socket.SHUT_WR)
                self.assertIsNone(session.next_event())

        self.attack(act)
        self.peace()

    def test_who_never_ends_a_packet_is_ended_by_stall_ms(self):
        self.begin(stall_ms=300)

        def act():
            session, slow = self.connect(self.stream), self.connect(self.stream)
            session.sock.sendall(b"\xce\0\1\0\0")
            while not select.select([session.sock], [], [], 0)[0]:
                session.sock.sendall(b"\x94")       # as if there were more to come
                for byte in b"\xce\0\0\0\3\x92\5\x63":     # PING: in pieces, too, but whole
                    slow.sock.sendall(bytes([byte]))
                self.assertEqual(recv_packet(slow.sock)[0], encode([F.PONG, 99]))
            self.expect_bye(session, Code.TIMEOUT, "stall_ms")
            sync(slow)

        self.attack(act)
        self.peace("stall_ms")


if __name__ == "__main__":
    uid_case.main()
