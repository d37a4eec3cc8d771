"""`stream:`, and several transports at one broker: the same packets, whatever carries them."""

import os
import random
import socket
import struct

import harness
from child import eventually
from fd_case import identities
from wire_case import PlaceTest, confirmed, is_delivery, subscribe, sync, take_payloads
from wire_codec import Code, Delivery, Flag, Frame as F, Ok, Pong, decode_frames, encode
from wire_socket import close_fds, connect_to, recv_packet, send_packet

HELLO = encode([F.HELLO, 1, "raw", 1, {}])


def packet(*frames):
    """A packet as a stream carries it."""
    data = b"".join(frame if isinstance(frame, bytes) else encode(frame) for frame in frames)
    return struct.pack(">BI", 0xce, len(data)) + data


def pub(payload, topic="a.b", n_fds=0):
    return [F.PUB, n_fds, topic, {}, payload]


class StreamTest(PlaceTest):
    def setUp(self):
        super().setUp()
        self.address = "stream:" + self.at("stream")
        self.broker = self.serve(self.address)
        self.receiver = self.connect(self.address)
        subscribe(self.receiver, "a.*", max_fds=16)

    def raw(self):
        """An open session, of which we see the bytes."""
        sock = connect_to(self.address, harness.DEADLINE_S)
        self.addCleanup(sock.close)
        sock.sendall(packet(HELLO))
        self.assertEqual(decode_frames(recv_packet(sock)[0])[0][0], F.WELCOME)
        return sock

    def ends_with(self, sock, code):
        """The broker says BYE, and no more."""
        self.assertEqual(decode_frames(recv_packet(sock)[0])[-1][:2], [F.BYE, code])
        self.assertEqual(recv_packet(sock), (b"", []))

    def files(self, count):
        fds = [os.memfd_create(f"file {number}", os.MFD_CLOEXEC) for number in range(count)]
        self.addCleanup(close_fds, fds)
        return fds

    def take(self, session=None):
        delivery = (session or self.receiver).take(is_delivery)
        self.addCleanup(close_fds, delivery.fds)
        return delivery


class Life(StreamTest):
    def test_a_whole_session(self):
        session, other = self.connect(self.address, "one"), self.connect(self.address, "two")
        self.assertEqual(self.broker.listening(), [self.address])
        session.ping(2**64 - 1)
        session.take(lambda event: event == Pong(2**64 - 1))
        subscribe(session, "b.>", "svc")
        self.assertEqual(confirmed(other, "b.c", b"hello"), 1)
        delivery = session.take(is_delivery)
        self.assertEqual(delivery[1:5], (other.welcome.session, harness.pid_said(os.getpid()),
                                         os.getuid(), os.getgid()))
        asked = other.request("svc", b"?")
        session.reply(session.take(is_delivery).token, b"!")
        self.assertEqual(other.answer(asked).payload, b"!")
        self.expect_err(other.answer(other.request("nobody")), Code.NO_RESPONDERS)
        self.expect_err(confirmed(other, "a..b"), Code.BAD_TOPIC)
        session.answer(session.unsub(1))
        self.assertEqual(confirmed(other, "b.c"), 0)
        self.assertEqual(len(self.broker.status()["clients"]), 4)
        session.bye()
        self.assertEqual(self.expect_bye(session, Code.NONE), [])
        other.close()
        self.broker.wait_status(lambda report: report["sessions"] == 2, "end of both")

    def test_another_type_of_socket_cannot_connect(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as sock:
                with self.assertRaises(OSError) as caught:
                    sock.connect(self.at("stream"))
                self.assertEqual(caught.exception.strerror, "Protocol wrong type for socket")


class Pieces(StreamTest):
    def test_one_byte_at_a_time(self):
        sock = connect_to(self.address, harness.DEADLINE_S)
        self.addCleanup(sock.close)
        for byte in (packet(HELLO) + packet([F.SUB, 1, 1, "x", {}])
                     + packet([F.INGRESS, 1, 2], pub(b"first"), pub(b"second"))
                     + packet(pub(b"third")) + packet([F.PING, 9])):
            sock.send(bytes([byte]))
        frames = []
        while not frames or frames[-1] != [F.PONG, 9]:
            frames += decode_frames(recv_packet(sock)[0])
        self.assertEqual(frames[0][0], F.WELCOME)
        self.assertEqual(frames[1:3], [[F.OK, 1, 0], [F.OK, 2, 1, 2]])
        self.assertEqual(take_payloads(self.receiver, 3), [b"first", b"second", b"third"])

    def test_a_thousand_packets_in_one_write(self):
        sock = self.raw()
        sock.sendall(b"".join(packet(pub(b"%d" % number)) for number in range(1000)))
        self.assertEqual(take_payloads(self.receiver, 1000), [b"%d" % n for n in range(1000)])

    def test_packets_in_odd_pieces(self):
        sock, rng = self.raw(), random.Random(6)
        payloads = [rng.randbytes(rng.choice((0, 1, 5, 300, 5000, 60000))) for _ in range(150)]
        for start in range(0, len(payloads), 10):
            data = b"".join(packet(pub(payload)) for payload in payloads[start:start + 10])
            while data:
                count = rng.choice((1, 2, 4, 5, 6, 7, 100, 65536, len(data)))
                sock.sendall(data[:count])
                data = data[count:]
            self.assertEqual(take_payloads(self.receiver, 10), payloads[start:start + 10])

    def test_the_largest_packet(self):
        sock = self.raw()
        half = 65536 // 2 - len(encode(pub(bytes(30000)))) + 30000
        sock.sendall(packet(pub(bytes(half)), pub(b"x" * half)))
        self.assertEqual(take_payloads(self.receiver, 2), [bytes(half), b"x" * half])

    def test_who_reads_a_byte_at_a_time_gets_all_of_it(self):
        sock, fds = self.raw(), self.files(3)
        sock.sendall(packet([F.SUB, 1, 1, "slow", {"max_fds": 16}]))
        self.assertEqual(recv_packet(sock)[0], encode([F.OK, 1, 0]))
        publisher = self.connect(self.address)
        for number in range(20):
            publisher.publish("slow", b"%d" % number, fds=fds * (number % 2))
        sync(publisher)
        data, got = b"", []
        while data.count(b"slow") < 20 or not data.endswith(b"19"):
            piece, control, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(4 * 17))
            data += piece
            got += [fd for _, _, value in control for fd in struct.unpack("3i", value)]
        self.addCleanup(close_fds, got)
        self.assertEqual(identities(got), identities(fds) * 10)


class Heads(StreamTest):
    def test_what_begins_no_packet_ends_the_session_and_what_was_before_stands(self):
        for head in (b"\x00", b"\x92\x05\x01", b"\xcd\x00\x03", b"\xcf" + bytes(8),
                     b"\xce" + bytes(4), struct.pack(">BI", 0xce, 65537),
                     struct.pack(">BI", 0xce, 2**32 - 1), encode(pub(b"as in a packet"))):
            sock = self.raw()
            sock.sendall(packet(pub(b"before")) + head + packet(pub(b"behind")))
            self.ends_with(sock, Code.PROTOCOL)
            self.assertEqual(take_payloads(self.receiver, 1), [b"before"])
        for head in (b"GET / HTTP/1.0\r\n\r\n", HELLO, b"\xce" + bytes(4)):
            sock = connect_to(self.address, harness.DEADLINE_S)
            self.addCleanup(sock.close)
            sock.sendall(head)
            self.ends_with(sock, Code.PROTOCOL)
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])

    def test_an_end_within_a_packet_discards_it(self):
        whole = packet(pub(b"cut"))
        for length in range(1, len(whole)):
            with self.raw() as sock:
                sock.sendall(packet(pub(b"before")) + whole[:length])
            self.assertEqual(take_payloads(self.receiver, 1), [b"before"])
        sock = self.raw()
        sock.sendall(packet(pub(b"before")) + whole[:-1])
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(recv_packet(sock), (b"", []))
        self.assertEqual(take_payloads(self.receiver, 1), [b"before"])
        self.broker.wait_status(lambda report: report["sessions"] == 2, "end of all of them")
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])


class Descriptors(StreamTest):
    def send(self, sock, data, fds):
        """One sendmsg."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
        self.assertEqual(sock.sendmsg([data], rights), len(data))

    def test_they_belong_to_the_packet_that_their_sendmsg_begins_with(self):
        sock, fds = self.raw(), self.files(5)
        self.send(sock, packet(pub(b"two", n_fds=2)) + packet(pub(b"none")), fds[:2])
        self.send(sock, packet(pub(b"three", n_fds=3)) + packet(pub(b"none")) * 3, fds[2:])
        got = [self.take() for _ in range(6)]
        self.assertEqual([(delivery.payload, len(delivery.fds)) for delivery in got],
                         [(b"two", 2), (b"none", 0), (b"three", 3)] + [(b"none", 0)] * 3)
        self.assertEqual(identities(got[0].fds + got[2].fds), identities(fds))

    def test_the_rest_of_a_packet_follows_without_them(self):
        sock, fds = self.raw(), self.files(4)
        whole = packet(pub(bytes(50000), n_fds=4))
        for cut in (1, 4, 5, 6, 100, len(whole) - 1):
            self.send(sock, whole[:cut], fds)
            for start in range(cut, len(whole), 9999):
                sock.sendall(whole[start:start + 9999])
            self.assertEqual(identities(self.take().fds), identities(fds))

    def test_those_of_another_packet_end_the_session(self):
        fds = self.files(3)
        for data, count in ((packet(pub(b"")) + packet(pub(b"", n_fds=1)), 1),
                            (packet(pub(b"", n_fds=1)) * 2, 2), (packet(pub(b"", n_fds=2)), 3),
                            (packet(pub(b"", n_fds=2)), 1)):
            sock = self.raw()
            self.send(sock, data, fds[:count])
            self.ends_with(sock, Code.DESCRIPTORS)
        sync(self.receiver)
        self.assertEqual(self.receiver.pending(), [])

    def test_who_reads_ahead_can_tell_whose_they_are(self):
        sock, fds, rng = self.raw(), self.files(16), random.Random(7)
        sock.sendall(packet([F.SUB, 1, 1, "ahead", {"max_fds": 16}]))
        self.assertEqual(recv_packet(sock)[0], encode([F.OK, 1, 0]))
        publisher = self.connect(self.address)
        counts = [rng.choice((0, 0, 1, 2, 5)) for _ in range(30)]
        for count in counts:
            publisher.publish("ahead", b"%d" % count, fds=fds[:count])
        sync(publisher)
        data, queue, seen = b"", [], []
        self.addCleanup(close_fds, queue)
        while len(seen) < len(counts):
            more, control, _, _ = sock.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 253))
            data += more
            for _, _, value in control:
                queue.extend(struct.unpack(f"{len(value) // 4}i", value))
                send_packet(sock, encode([F.CREDIT, 2, 0, 1]))
            frames, data = self.split(data)
            for frame in frames:
                self.assertEqual(frame[4], b"%d" % frame[1])
                mine = [queue.pop(0) for _ in range(frame[1])]
                self.assertEqual(identities(mine), identities(fds[:frame[1]]))
                close_fds(mine)
                seen.append(frame[1])
        self.assertEqual((seen, queue), (counts, []))

    @staticmethod
    def split(data):
        """The PUBs of all whole packets, and the bytes behind them."""
        frames = []
        while len(data) >= 5 and len(data) >= (end := 5 + struct.unpack(">I", data[1:5])[0]):
            frames += [frame for frame in decode_frames(data[5:end]) if frame[0] == F.PUB]
            data = data[end:]
        return frames, data


class Slow(StreamTest):
    def test_a_large_backlog_reaches_a_slow_reader_whole_and_in_order(self):
        publisher, fds = self.connect(self.address), self.files(2)
        payloads = [b"%d " % number + bytes(number * 97 % 60000) for number in range(200)]
        for number, payload in enumerate(payloads):
            publisher.publish("a.b", payload, fds=fds * (number % 5 == 0))
        for payload in payloads:
            delivery = self.receiver.take(is_delivery)
            self.assertEqual(delivery.payload, payload)
            close_fds(delivery.fds)
        sync(publisher)

    def test_a_broker_that_sleeps_gets_the_rest_when_it_wakes(self):
        """The kernel takes a part of a packet, with its descriptors, and the rest later."""
        sock, fds = self.raw(), self.files(3)
        self.broker.pause()
        sock.setblocking(False)
        data, rights = packet(pub(bytes(60000), n_fds=3)), [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("3i", *fds))]
        sent, rest = 0, b""
        while not rest:
            try:
                taken = sock.sendmsg([data], rights)
                sent, rest = sent + 1, data[taken:]
            except BlockingIOError:
                break
        self.assertGreater(sent, 2)
        self.broker.go_on()
        sock.settimeout(harness.DEADLINE_S)
        sock.sendall(rest)
        for _ in range(sent):
            delivery = self.take()
            self.assertEqual((len(delivery.payload), identities(delivery.fds)),
                             (60000, identities(fds)))

    def test_large_payloads(self):
        chunks = self.connect(self.address, features=0)
        subscribe(chunks, "a.*")
        publisher, payload = self.connect(self.address), random.Random(8).randbytes(3000000)
        for form in ("placed", "chunked"):
            self.assertEqual(confirmed(publisher, "a.b", payload, form=form), 2)
            for session, wanted in ((self.receiver, "placed"), (chunks, "chunked")):
                delivery = session.take(is_delivery)
                self.assertEqual((delivery.payload == payload, delivery.form), (True, wanted))


class Crossing(PlaceTest):
    def test_messages_cross_between_all_transports_of_one_broker(self):
        addresses = [self.name, self.path, "stream:" + self.at("stream")]
        dgram = "dgram:" + self.at("dgram")
        broker = self.serve(*addresses, dgram)
        self.assertEqual(broker.listening(), [*addresses, dgram])
        sessions = [self.connect(address) for address in addresses]
        fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.addCleanup(os.close, fd)
        for session in sessions:
            subscribe(session, "a.*", max_fds=1)
        for number, sender in enumerate(sessions):
            subscribe(sender, f"svc.{number}")
            self.assertEqual(confirmed(sender, "a.b", b"plain"), 3)
            self.assertEqual(confirmed(sender, "a.b", bytes(200000), form="chunked"), 3)
            self.assertEqual(confirmed(sender, "a.b", b"with", fds=[fd]), 3)
            for session in sessions:
                got = [session.take(is_delivery) for _ in range(3)]
                self.assertEqual([event.payload for event in got],
                                 [b"plain", bytes(200000), b"with"])
                self.assertEqual(got[2].session, sender.welcome.session)
                self.assertEqual(identities(got[2].fds), identities([fd]))
                close_fds(got[2].fds)
        for number, service in enumerate(sessions):
            asked = [session.request(f"svc.{number}", b"?") for session in sessions]
            for _ in asked:
                request = service.take(lambda event: isinstance(event, Delivery)
                                       and event.flags == Flag.REQUEST)
                service.reply(request.token, b"%d" % number)
            for session, request_id in zip(sessions, asked):
                self.assertEqual(session.answer(request_id).payload, b"%d" % number)
        with connect_to(dgram) as sock:
            send_packet(sock, encode(pub(b"by datagram")))
        for session in sessions:
            self.assertEqual(take_payloads(session, 1), [b"by datagram"])
            session.send_frames([F.INGRESS, 1, session.new_ids()], pub(b"last"))
            session.take(lambda event: isinstance(event, Ok))
        eventually(lambda: broker.status()["sessions"] == 4, "only these are there")


if __name__ == "__main__":
    harness.main()
