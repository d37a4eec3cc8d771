"""How a session begins, what may be said in it, and how it ends."""

import os
import socket

import harness
from wire_case import BrokerTest, confirmed, status, subscribe, sync, take_payloads
from wire_codec import Code, Frame as F, Ok, Pong, encode
from wire_socket import peer_credentials

LIMITS = {"packet_bytes": 65536, "frame_bytes": 65024, "topic_bytes": 255, "topic_tokens": 16,
          "header_entries": 64, "header_bytes": 8192, "fds": 16, "payload_bytes": 1 << 30,
          "queue_bytes": 4 << 20, "queue_messages": 65536, "queue_fds": 256,
          "placed_bytes": 256 << 20, "control_bytes": 256 << 10, "subscriptions": 16384,
          "requests": 4096, "stall_ms": 30000, "handshake_ms": 30000, "drain_ms": 5000}
HELLO = encode([F.HELLO, 1, "test", 1, {}])
PUB = [F.PUB, 0, "a.b", {}, b""]


class Beginning(BrokerTest):
    def test_welcome_tells_who_the_broker_is_and_every_limit(self):
        first, second = self.connect().welcome, self.connect().welcome
        self.assertEqual(first.version, 1)
        self.assertEqual(first.window, 1 << 20)
        self.assertRegex(first.name, r"^baton \d+\.\d+\.\d+$")
        # Publish, subscribe, block, send descriptors, send placed payloads.
        self.assertEqual(first.rights & 107, 107)
        self.assertEqual(first.features & 1, int(not harness.IS_PORTABLE))  # placed payloads
        self.assertEqual({**first.limits, **LIMITS}, first.limits)
        self.assertEqual(first.instance, second.instance)
        self.assertGreater(second.session, first.session)

    def test_a_second_broker_has_another_instance(self):
        mine = self.connect()
        theirs = self.connect(self.new_broker().address)
        self.assertNotEqual(mine.welcome.instance, theirs.welcome.instance)

    def test_limits_that_were_changed_are_told(self):
        changed = {"queue_bytes": 70000, "stall_ms": 123, "subscriptions": 5}
        broker = self.new_broker(limits={**changed, "window_bytes": 300000})
        welcome = self.connect(broker.address).welcome
        self.assertEqual({**welcome.limits, **changed}, welcome.limits)
        self.assertEqual(welcome.window, 300000)

    def test_the_other_end_is_the_broker(self):
        for address in (self.broker.address, self.broker.path):
            session = self.connect(address)
            self.assertEqual(peer_credentials(session.sock),
                             (self.broker.pid, os.getuid(), os.getgid()))

    def test_hello_in_any_form_that_the_page_allows_is_welcome(self):
        for hello in ([F.HELLO, 1, "", 0], [F.HELLO, 7, "x" * 64, 2**64 - 1],
                      [F.HELLO, 1, "ü\"\\", 0, {"resume_instance": bytes(16), "else": [1]}],
                      [F.HELLO, 1, "x", 0, {}, "more", None]):
            session = self.socket()
            session.send_frames(hello)
            self.assertEqual(session.next_event().version, 1, hello)
        names = {client["name"] for client in status(self.connect(name="asker"))["clients"]}
        self.assertEqual(names, {"", "x" * 64, "ü\"\\", "x", "asker"})

    def test_what_is_no_hello_ends_the_session(self):
        for code, data in ((Code.VERSION, encode([F.HELLO, 0, "x", 0, {}])),
                           (Code.PROTOCOL, encode([F.HELLO, 1, "x" * 65, 0, {}])),
                           (Code.PROTOCOL, encode([F.HELLO, 1, "a\nb", 0, {}])),
                           (Code.PROTOCOL, encode([F.HELLO, 1, "x"])),
                           (Code.PROTOCOL, encode([F.HELLO, "1", "x", 0])),
                           (Code.PROTOCOL, encode([F.PING, 1])),
                           (Code.PROTOCOL, encode([0x40])),
                           (Code.PROTOCOL, encode([F.BYE, 0, ""])),
                           (Code.PROTOCOL, HELLO + HELLO),
                           (Code.PROTOCOL, HELLO + encode([F.PING, 1])),
                           (Code.PROTOCOL, HELLO[:-1]), (Code.PROTOCOL, HELLO + b"\xc1")):
            session = self.socket()
            session.send_raw(data)
            self.assertEqual(self.expect_bye(session, code), [], data)

    def test_a_second_hello_ends_the_session(self):
        session = self.connect()
        session.send_raw(HELLO)
        self.expect_bye(session, Code.PROTOCOL)

    def test_silence_ends_after_handshake_ms(self):
        broker = self.new_broker(limits={"handshake_ms": 300})
        for address in (broker.address, broker.path):
            self.expect_bye(self.socket(address), Code.TIMEOUT, "handshake_ms")
        session = self.connect(broker.address)
        self.expect_bye(self.socket(broker.address), Code.TIMEOUT)
        sync(session)                           # whose own time is over too


class Saying(BrokerTest):
    def test_ping_is_answered_with_its_token(self):
        session = self.connect()
        for token in (0, 127, 2**32, 2**64 - 1):
            session.ping(token)
            self.assertEqual(session.next_event(), Pong(token))

    def test_pong_comes_after_the_answers_to_what_was_before_the_ping(self):
        session = self.connect()
        session.send_frames([F.SUB, session.new_ids(), 1, "a.>"], [F.PING, 1],
                            [F.UNSUB, session.new_ids(), 1], [F.PING, 2])
        self.assertEqual([session.next_event() for _ in range(4)],
                         [Ok(1, 0), Pong(1), Ok(2, 0), Pong(2)])

    def test_what_is_over_or_ignorable_is_ignored(self):
        session = self.connect()
        subscribe(session, "a.b")
        session.send_frames([0x40], [0x7f, {"a": [1, None]}], [F.CANCEL, 99], [F.ACK, 1, 2],
                            [F.NACK, 1, 2, 3], [F.PONG, 5], [F.CREDIT, 1, 77, 5],
                            [F.CREDIT, 2, 0, 1], [F.PING, 1, "more", []])
        self.assertEqual(session.next_event(), Pong(1))

    def test_what_breaks_the_page_ends_the_session_and_what_was_before_stands(self):
        deep = 16 * b"\x91" + b"\x01"
        for data in (b"\xc1", b"\x90", b"\x05", encode([F.PING]), encode([F.PING, "x"]),
                     encode([F.PING, -1]), encode([0x18]), encode([0x3f]), encode([0x80]),
                     encode([2**64 - 1]), encode(["x"]), encode([F.PING, 1])[:-1],
                     b"\xdd\xff\xff\xff\xff\x05", b"\x92\x05\xdf\xff\xff\xff\xff",
                     b"\x92\x40" + deep, encode([F.SUB, 9, 0, "a"]), encode([F.SUB, 9, 2**32, "a"]),
                     encode([F.SUB, 9, 5, 5]), encode([F.SUB, 9, 5, "a", []]),
                     encode([F.SUB, 9, 5, "a", {"max_fds": 17}]),
                     encode([F.SUB, 9, 5, "a", {"observer": 1}]),
                     encode([F.SUB, 0, 5, "a"]), encode([F.UNSUB, 0, 1]),
                     encode([F.SUB, 2**63, 5, "a"]), encode([F.SUB, 1, 5, "a"]),
                     encode([F.REQUEST, 0, 0]) + encode(PUB), encode([F.INGRESS, 1]) + encode(PUB),
                     encode([F.INGRESS, 1, 1]) + encode(PUB), encode([F.REQUEST, 9, 0]),
                     encode([F.REPLY, 9]), encode([F.REQUEST, 9, 0]) + encode([F.PING, 1]),
                     encode([F.REQUEST, 9, 0]) + encode([F.INGRESS, 0]) + encode(PUB),
                     encode([F.REQUEST, 9, 86400001]) + encode(PUB),
                     encode([F.CREDIT, 0, 0, 1]), encode([F.CREDIT, 3, 0, 1]),
                     encode([F.PUB, 0, "a.b", {}]), encode([F.PUB, 0, b"a.b", {}, b""]),
                     encode([F.PUB, 0, "a.b", [], b""]), encode([F.PUB, 0, "a.b", {}, "x"]),
                     encode([F.PUB, 0, "a.b", {}, 5]), encode([F.PUB, 0, "a.b", {}, b"x"])[:-1],
                     encode([F.WELCOME, 1, 1, bytes(16), "x", 0, 0, 1 << 20, {}]),
                     encode([F.RIGHTS, 255]), encode([F.OK, 1, 1]), encode([F.ERR, 1, 1, ""]),
                     encode([F.GAP, 1, 1, 1, 1]), encode([F.DELIVERY, 1, 1, 1, 1, 1, [1]])):
            session = self.connect()
            session.send_raw(encode([F.SUB, 1, 1, "a.>"]) + data + encode([F.PING, 99]))
            events = self.expect_bye(session, Code.PROTOCOL)
            self.assertEqual(events, [Ok(1, 0)], data)

    def test_ids_only_increase_confirms_included(self):
        session = self.connect()
        session.send_raw(encode([F.INGRESS, 1, 5]) + encode(PUB) + encode(PUB)
                         + encode([F.SUB, 7, 1, "a"]) + encode([F.INGRESS, 1, 6]) + encode(PUB))
        events = self.expect_bye(session, Code.PROTOCOL, "increase")
        self.assertEqual(events, [Ok(5, 0), Ok(6, 0), Ok(7, 0)])
        session = self.connect()
        session.send_raw(encode([F.SUB, 2**63 - 1, 1, "a"]))
        self.assertEqual(session.next_event(), Ok(2**63 - 1, 0))

    def test_an_unknown_option_is_refused_and_the_session_goes_on(self):
        session = self.connect()
        session.answer(session.sub(3, "a.b", max_fds=16, observer=True))
        for number, code, options in ((4, Code.UNSUPPORTED, {"colour": 1}),
                                      (3, Code.DUPLICATE, {}), (2, Code.DUPLICATE, {})):
            self.expect_err(session.answer(session.sub(number, "a.b", **options)), code)
        for text in ("", ".", "a.", ".a", "a..b", "a.>.b", "a b", "a\tb", "x" * 256, "a*",
                     ">a", ".".join("a" * 17)):
            self.expect_err(session.answer(session.sub(4, text)), Code.BAD_TOPIC)
        self.expect_err(session.answer(session.unsub(4)), Code.NO_SUCH_SUB)
        self.assertEqual(session.answer(session.sub(2**32 - 1, "a.b")).value, 0)

    def test_the_number_of_subscriptions_is_limited(self):
        session = self.connect(self.new_broker(limits={"subscriptions": 3}).address)
        subscribe(session, "a", "b", "c")
        self.expect_err(session.answer(session.sub(4, "d")), Code.LIMIT, "subscriptions")
        session.answer(session.unsub(1))
        self.assertEqual(session.answer(session.sub(5, "d")).value, 0)


class Ending(BrokerTest):
    def test_bye_comes_back_behind_what_was_queued(self):
        leaver, publisher = self.connect(), self.connect()
        subscribe(leaver, "a.b")
        for number in range(500):
            publisher.publish("a.b", b"%d" % number)
        sync(publisher)
        leaver.bye()
        *events, = self.expect_bye(leaver, Code.NONE)
        self.assertEqual([event.payload for event in events], [b"%d" % n for n in range(500)])

    def test_who_leaves_has_its_confirms_first_and_receives_no_more(self):
        leaver = self.connect()
        subscribe(leaver, "a.b")
        leaver.send_frames([F.INGRESS, 1, leaver.new_ids(3)], PUB, PUB, PUB, [F.BYE, 0, ""],
                           [F.PING, 1], PUB)
        events = self.expect_bye(leaver, Code.NONE)
        self.assertEqual([event for event in events if isinstance(event, Ok)],
                         [Ok(2, 1), Ok(3, 1), Ok(4, 1)])
        self.assertEqual(len(events), 6)

    def test_who_left_is_no_receiver(self):
        leaver, publisher = self.connect(), self.connect()
        subscribe(leaver, ">")
        self.assertEqual(confirmed(publisher, "a.b"), 1)
        leaver.bye()
        self.expect_bye(leaver, Code.NONE)
        self.assertEqual(confirmed(publisher, "a.b"), 0)
        self.assertEqual(status(publisher)["subscriptions"], 0)

    def test_what_was_sent_before_the_end_of_file_is_delivered(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        for number in range(200):
            publisher.publish("a.b", b"%d" % number, confirm=True)  # whose answers stay unread
        publisher.close()
        self.assertEqual(take_payloads(receiver, 200), [b"%d" % n for n in range(200)])

    def test_a_half_closed_session_ends_after_what_it_had_sent(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        publisher.publish("a.b", b"last")
        publisher.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(take_payloads(receiver, 1), [b"last"])
        self.assertIsNone(publisher.next_event())

    def test_nobody_is_told_of_others_errors(self):
        session, other = self.connect(), self.connect()
        other.send_raw(b"\xc1")
        self.expect_bye(other, Code.PROTOCOL)
        sync(session)
        self.assertEqual(session.pending(), [])


if __name__ == "__main__":
    harness.main()
