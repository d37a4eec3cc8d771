"""The Python client itself: msgpack cases, then sessions against a scripted broker."""

import os
import resource
import shutil
import socket
import struct
import threading
import unittest

import harness
import wire_codec as wire
from wire_client import Session, SessionEnded
from wire_codec import Code, Flag, Frame as F
from wire_payload import Window, read_placed, sealed_memfd
from wire_socket import close_fds


class Broker(threading.Thread):
    """The broker's end of a socketpair: runs a script in a thread."""

    def __init__(self, sock, script):
        super().__init__()
        self.peer, self.script, self.error = Session(sock), script, None
        self.start()

    def run(self):
        try:
            self.script(self)
        except BaseException as error:      # reported by the test
            self.error = error
        finally:
            self.peer.sock.close()

    def send(self, *frames, fds=()):
        self.peer.send_raw(b"".join(map(wire.encode, frames)), fds)

    def recv(self):
        data, fds = self.peer.recv_packet()
        return (wire.decode_frames(data) if data else []), fds

    def welcome(self, window=262144):
        frames, _ = self.recv()
        assert frames == [[F.HELLO, 1, "test", 1, {}]], frames
        self.send([F.WELCOME, 1, 7, bytes(16), "fake", 1, 255, window, {"fds": 16}, {}, "extra"])

    def expect(self, *frames):
        got, fds = self.recv()
        assert got == list(frames), (got, frames)
        return fds


def delivery(seq, subs=(1,), *more):
    return [F.DELIVERY, seq, 9, 4711, 1000, 1000, list(subs), *more]


class SessionTest(unittest.TestCase):
    def play(self, script, client, kind=socket.SOCK_SEQPACKET):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        theirs.settimeout(5)
        ours.settimeout(5)
        broker = Broker(theirs, script)
        with Session(ours) as session:
            try:
                client(session)
            finally:
                ours.close()
                broker.join(6)
        if broker.error:
            raise broker.error

    def test_subscribe_and_deliver(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            self.subscribe_and_deliver(kind)

    def subscribe_and_deliver(self, kind):
        def script(broker):
            broker.welcome()
            broker.expect([F.SUB, 1, 1, "a.>", {"max_fds": 2}])
            broker.send([F.OK, 1, 0], [0x55, {"future": [1]}])
            broker.send(delivery(1), [F.PUB, 0, "a.b", {"k": -1}, b"x"], [F.PUB, 0, "a.c", {}, b""],
                        [F.GAP, 1, 3, 1, 3], delivery(3, (1, 2), 2, 0, 0, 77),
                        [F.PUB, 0, "a.d", {}, b"?"])
            read, write = os.pipe()
            broker.send(delivery(4), [F.PUB, 1, "a.e", {}, b""], fds=[read])
            memfd = sealed_memfd(b"placed")
            broker.send(delivery(5), [F.PUB, 2, "a.f", {}, 6], fds=[read, memfd])
            for fd in (read, write, memfd):
                os.close(fd)
            broker.send(delivery(6, (1,), 0, 0, 3), [F.BEGIN, 3, "a.g", {}, 0], [F.CHUNK, b"ab"])
            broker.send([F.CHUNK, b"cd"], [F.PING, 5], [F.END, 0])
            for _ in range(2):
                broker.expect([F.CREDIT, 2, 0, 1])
            broker.expect([F.PONG, 5])
            broker.expect([F.REPLY, 77, int(Flag.MORE), 2], [F.PUB, 0, "", {}, b"!"])
            broker.send([F.OK, 2, 1])
            broker.expect([F.UNSUB, 3, 1])
            broker.send([F.ERR, 3, 11, "no"])
            broker.expect([F.BYE, 0, ""])
            broker.send([F.BYE, 0, ""])

        def client(session):
            self.assertEqual(session.hello("test").session, 7)
            self.assertEqual(session.answer(session.sub(1, "a.>", max_fds=2)), wire.Ok(1, 0))
            events = [session.take(lambda e: isinstance(e, (wire.Delivery, wire.Gap)))
                      for _ in range(7)]
            self.assertEqual([e.seq for e in events], [1, 2, 3, 3, 4, 5, 6])
            self.assertEqual(events[0].headers, {"k": -1})
            self.assertEqual((events[3].token, events[3].subs), (77, [1, 2]))
            self.assertEqual([len(e.fds) for e in events[4:]], [1, 1, 0])
            self.assertEqual([e.form for e in events[4:]], ["plain", "placed", "chunked"])
            self.assertEqual([e.payload for e in events[5:]], [b"placed", b"abcd"])
            for event in events[4:]:
                close_fds(event.fds)
            reply = session.reply(77, b"!", more=True, confirm=True)
            self.assertEqual(session.answer(reply).value, 1)
            self.assertEqual(session.answer(session.unsub(1)).code, Code.NO_SUCH_SUB)
            session.bye()
            self.assertRaises(RuntimeError, session.ping, 1)
            rest = list(session)
            self.assertEqual(rest[-1], wire.Bye(0, ""))
            self.assertEqual(session.state, "closed")

        self.play(script, client, kind)

    def test_descriptors_that_find_no_room_are_withheld(self):
        sent = threading.Event()            # after which the limit may hold for the script, too

        def script(broker):
            broker.welcome()
            memfd = sealed_memfd(b"abc")
            broker.send(delivery(1), [F.PUB, 2, "t", {}, b""], fds=[0, 1])
            broker.send(delivery(2), [F.PUB, 3, "t", {}, 3], fds=[0, 1, memfd])
            broker.send(delivery(3), [F.PUB, 1, "t", {}, b""], fds=[2])
            os.close(memfd)
            sent.set()
            for _ in range(3):
                broker.expect([F.CREDIT, 2, 0, 1])

        def client(session):
            session.hello("test")
            self.assertTrue(sent.wait(5))
            sent.clear()
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            for _ in range(2):
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, before[1]))
                try:
                    event = session.take(lambda e: isinstance(e, wire.Delivery))
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, before)
                self.assertEqual((event.fds, event.withheld), ([], 2))
            self.assertEqual((event.payload, event.form), (None, "lost"))
            event = session.take(lambda e: isinstance(e, wire.Delivery))
            self.assertEqual((len(event.fds), event.withheld, event.seq), (1, 0, 3))
            close_fds(event.fds)

        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            self.play(script, client, kind)

    def test_a_stream_in_pieces_and_its_end(self):
        pong = b"\x92\x06\x01"
        whole = b"\xce\0\0\0\x03" + pong

        def script(broker):
            broker.welcome()
            for byte in whole:
                broker.peer.sock.send(bytes([byte]))
            broker.peer.sock.send(whole * 3 + whole[:-1])

        def client(session):
            session.hello("test")
            self.assertEqual(list(session)[1:], [wire.Pong(1)] * 4)

        self.play(script, client, socket.SOCK_STREAM)
        for head in (b"\xcd\0\0\0\x03", b"\xce\0\0\0\0", b"\xce\0\x01\0\x01"):
            def bad_script(broker, head=head):
                broker.welcome()
                broker.peer.sock.send(head + pong)

            def bad_client(session):
                session.hello("test")
                self.assertRaises(wire.WireError, list, session)

            self.play(bad_script, bad_client, socket.SOCK_STREAM)

    def test_window_and_chunks(self):
        payload = os.urandom(1000000)

        def script(broker):
            broker.welcome()
            left, got, frames = 262144, b"", []
            frames, _ = broker.recv()
            assert frames[0] == [F.INGRESS, 7, 1, 50] and frames[1][0] == F.BEGIN
            left -= len(wire.encode(frames[1]))
            while True:
                (frame,), _ = broker.recv()
                left -= len(wire.encode(frame))
                assert left >= 0
                if frame[0] == F.END:
                    break
                got += frame[1]
                if left < 131072:
                    broker.send([F.CREDIT, 0, 0, 262144 - left], [F.PING, 1])
                    left = 262144
            assert got == payload
            broker.send([F.OK, 1, 4, 2])

        def client(session):
            session.hello("test")
            first = session.publish("big", payload, confirm=True, retain=True, no_echo=True,
                                    ttl_ms=50)
            session.new_ids()
            self.assertEqual(session.answer(first), wire.Ok(1, 4))
            self.assertEqual(session.answer(2), wire.Ok(2, 4))

        self.play_lenient(script, client)

    def play_lenient(self, script, client):
        """As play(), for scripts that leave the client's PONGs unread."""
        self.play(lambda broker: (setattr(broker, "recv", self.skipping(broker)),
                                  script(broker)), client)

    @staticmethod
    def skipping(broker):
        original = broker.recv

        def recv():
            while True:
                frames, fds = original()
                if not frames or frames[0][0] != F.PONG:
                    return frames, fds
        return recv

    def test_request_cancel_placed_and_fd_credit(self):
        def script(broker):
            broker.welcome()
            broker.expect([F.REQUEST, 1, 2000], [F.PUB, 0, "svc", {}, b"q"])
            broker.send(delivery(1, (), 12, 0, 0, 0, 0, 1), [F.PUB, 0, "", {}, b"part"])
            broker.send(delivery(2, (), 4, 0, 0, 0, 0, 1), [F.PUB, 0, "", {}, b"last"])
            broker.expect([F.REQUEST, 2, 0], [F.PUB, 0, "svc", {}, b""])
            broker.expect([F.CANCEL, 2])
            broker.send([F.ERR, 2, 20, "cancelled"])
            fds = broker.expect([F.PUB, 1, "img", {}, 3])
            assert read_placed(fds[0], 3) == b"abc"
            for seq in range(3, 11):
                broker.send(delivery(seq), [F.PUB, 1, "t", {}, b""], fds=fds)
            close_fds(fds)
            for _ in range(8):
                broker.expect([F.CREDIT, 2, 0, 1])
            broker.expect([F.ACK, 3, 3])
            broker.expect([F.NACK, 4, 5, 9])
            broker.send([F.BYE, 15, "stop"])

        def client(session):
            session.hello("test")
            request = session.request("svc", b"q", timeout_ms=2000)
            self.assertEqual(session.answer(request).flags, Flag.REPLY | Flag.MORE)
            self.assertEqual(session.answer(request).payload, b"last")
            request = session.request("svc")
            session.cancel(request)
            self.assertEqual(session.answer(request).code, Code.CANCELLED)
            session.publish("img", b"abc", form="placed")
            for _ in range(8):
                close_fds(session.take(lambda e: isinstance(e, wire.Delivery)).fds)
            session.ack(3)
            session.nack(4, 5, 9)
            self.assertRaises(SessionEnded, session.answer, 99)
            self.assertEqual(session.bye_received.code, Code.SHUTDOWN)
            session.sock.close()

        before = len(os.listdir("/proc/self/fd"))
        self.play(script, client)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_bye_survives_reset(self):
        def script(broker):
            broker.welcome()
            broker.send([F.BYE, 1, "cut off"])      # closed with packets of the client unread

        def client(session):
            session.hello("test")
            while session.send_raw(b"\x92\x05\x01"):
                pass
            self.assertEqual(list(session)[-1], wire.Bye(1, "cut off"))

        self.play(script, client)

    def test_addresses(self):
        path = os.path.join(harness.short_tmpdir(), "s")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        for address, bound in (("@wire-client", "\0wire-client"), (path, path)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(bound)
                listener.listen()
                broker = threading.Thread(target=lambda: Broker(listener.accept()[0],
                                                                Broker.welcome).join())
                broker.start()
                with Session.connect(address, timeout=5) as session:
                    self.assertEqual(session.hello("test").name, "fake")
                    self.assertIsNotNone(session.next_event())
                    self.assertIsNone(session.next_event())
                broker.join()

    def test_broker_breaks_rules(self):
        ok = [F.PUB, 0, "t", {}, b""]
        for frames in ([ok], [delivery(2), ok], [delivery(1), [F.PUB, 1, "t", {}, b""]],
                       [[F.OK, 1]], [[F.OK, 1, "x"]], [[F.OK, True, 1]], [[0x30]], [[0x80]],
                       [[F.GAP, 1, 1, 1, 2]], [[F.CREDIT, 0, 0, 1]], [[F.CHUNK, b""]],
                       [[F.BYE, 0, ""], [F.PING, 1]], [[F.HELLO, 1, "x", 0]],
                       [[F.ERR, 0, 5, "\udcff"]], [[F.OK, 1, 0]], [[F.ERR, 7, 5, ""]],
                       [delivery(1, ()), ok], [delivery(1, range(65)), ok],
                       [delivery(1, (), 4, 0, 0, 0, 0, 3), ok]):
            def script(broker, frames=frames):
                broker.welcome()
                broker.send(*frames)

            def client(session, frames=frames):
                session.hello("test")
                with self.assertRaises(wire.WireError, msg=frames):
                    while session.next_event():
                        pass
            self.play(script, client)


class WindowTest(unittest.TestCase):
    def test_what_frames_cost(self):
        window = Window()
        window.open(262144)
        for frame, extra in (([F.PING, 1], None), ([F.INGRESS, 1, 1], None),
                             ([F.PUB, 0, "a", {}, b"xyz"], 0), ([F.PUB, 3, "a", {}, b""], 12288),
                             ([F.PUB, 1, "a", {}, 1], 4096), ([F.PUB, 1, "a", {}, 1023], 4096),
                             ([F.PUB, 2, "a", {}, 10240], 8202),
                             ([F.PUB, 1, "a", {}, 2**40], 65536),
                             ([F.PUB, 16, "a", {}, 10240], 65536),
                             ([F.BEGIN, 2, "a", {}, 2**40], 8192), ([F.CHUNK, bytes(1000)], 0),
                             ([F.CHUNK, bytes(3100)], 0), ([F.END, 0], 4), ([F.END, 0], 0)):
            data = wire.encode(frame)
            cost = 0 if extra is None else len(data) + extra
            self.assertEqual(window.cost(data, len(data)), cost, frame)
        self.assertEqual(window.left, 262144)


class MsgpackTest(unittest.TestCase):
    def value(self, hexadecimal):
        (frame,) = wire.decode_frames(b"\x92\x01" + bytes.fromhex(hexadecimal))
        return frame[1]

    def test_round_trip(self):
        for value in (None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32,
                      2**64 - 1, -1, -32, -33, -128, -129, -2**15 - 1, -2**31, -2**31 - 1, -2**63,
                      1.5, "", "a" * 31, "a" * 32, "ü" * 200, "a" * 60000, b"", b"x" * 256,
                      b"x" * 60000, [], [1] * 15, [1] * 16, {}, {"a": {"b": [None]}},
                      {str(k): k for k in range(20)}):
            (frame,) = wire.decode_frames(wire.encode([1, value]))
            self.assertEqual(frame, [1, value])
            self.assertIs(type(frame[1]), type(value))
        for value in (2**64, -2**63 - 1):
            self.assertRaises(OverflowError, wire.encode, value)

    def test_all_widths(self):
        for text, value in (("cc05", 5), ("cd0005", 5), ("ce00000005", 5),
                            ("cf" + "00" * 7 + "05", 5),
                            ("d005", 5), ("d0ff", -1), ("d1ffff", -1), ("d2ffffffff", -1),
                            ("d3" + "ff" * 8, -1), ("ca3fc00000", 1.5), ("d90161", "a"),
                            ("da000161", "a"), ("db0000000161", "a"), ("c40161", b"a"),
                            ("c5000161", b"a"), ("c60000000161", b"a"), ("dc000105", [5]),
                            ("dd0000000105", [5]), ("de0001a16105", {"a": 5}),
                            ("df00000001a16105", {"a": 5}), ("d40561", wire.Ext(5, b"a")),
                            ("d8ff" + "61" * 16, wire.Ext(-1, b"a" * 16)),
                            ("c7020161" + "62", wire.Ext(1, b"ab")),
                            ("c80001017a", wire.Ext(1, b"z")),
                            ("c900000001017a", wire.Ext(1, b"z")),
                            ("82a16101a16102", (("a", 1), ("a", 2))), ("819005", (([], 5),))):
            self.assertEqual(self.value(text), value, text)

    def test_malformed(self):
        whole = wire.encode([1, "text", {"k": b"blob"}, [2**40, 1.5]])
        for end in range(len(whole)):
            self.assertRaises(wire.WireError, wire.decode_frames, whole[:end])
        for text in ("c1", "90", "05", "92 a161 00", "92 d0ff 00", "92 c3 00", "9101 c0",
                     "92 01 c1",
                     "dd ffffffff 01", "92 01 df ffffffff 00", "91 ca 00000000", "8101 02"):
            self.assertRaises(wire.WireError, wire.decode_frames, bytes.fromhex(text))
        deep = [1]
        for _ in range(15):
            deep = [1, deep]
        self.assertEqual(wire.decode_frames(wire.encode(deep)), [deep])
        self.assertRaises(wire.WireError, wire.decode_frames, wire.encode([1, deep]))
        limit = [1, bytes(wire.FRAME_BYTES - 5)]
        self.assertEqual(len(wire.encode(limit)), wire.FRAME_BYTES)
        wire.decode_frames(wire.encode(limit))
        limit[1] += b"x"
        self.assertRaises(wire.WireError, wire.decode_frames, wire.encode(limit))
        self.assertRaises(wire.WireError, wire.decode_frames, struct.pack("65537s", b""))


if __name__ == "__main__":
    harness.main()
