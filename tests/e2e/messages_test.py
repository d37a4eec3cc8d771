"""Publications: who gets them, in which form and order, what is confirmed and what is refused."""

import os
import struct

import harness
from wire_case import (
    BrokerTest, confirmed, is_delivery, status, subscribe, sync, take_deliveries, take_payloads)
from wire_codec import Code, Err, Frame as F, Ok, decode_frames, encode

CONFIRM, NO_ECHO = 1, 4
MATCHES = (
    ("a.b", ("a.b",), ("a", "a.c", "a.b.c", "A.b", "b.a")),
    ("a.*", ("a.b", "a.c", "a.$x", "a._y"), ("a", "a.b.c", "b.b")),
    ("*.b", ("a.b", "b.b"), ("$.b", "$a.b", "_a.b", "_.b", "a", "a.b.c")),
    ("*", ("a", "x"), ("_a", "_", "a.b")),
    ("*.*.c", ("a.b.c",), ("a.c", "_a.b.c")),
    (">", ("a", "a.b.c", "a.$x"), ("_a", "_a.b", "_")),
    ("a.>", ("a.b", "a.b.c.d"), ("a", "b.a")),
    ("a.*.>", ("a.b.c", "a.b.c.d"), ("a.b", "a")),
    ("_a.>", ("_a.b", "_a._b.c"), ("_b.a", "a.b")),
    ("_a.*", ("_a.b",), ("_a", "_b.b")),
    ("ü.*", ("ü.ü",), ("u.ü",)),
)
BAD_TOPICS = (
    b"", b".", b"a.", b".a", b"a..b", b"a.*", b"*", b">", b"a.>", b"a*", b"a b", b"a\x00b",
    b"a\x1fb", b"a\x7fb", b"a\xc2\x80b", b"a\xc2\x9fb", b"\xff", b"a\xc3", b"\xc0\xaf",
    b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"x" * 256, b".".join([b"a"] * 17))
GOOD_TOPICS = (b"x" * 255, b".".join([b"a"] * 16), b"\xf0\x9f\x98\x80", b"a\xc2\xa0b", b"a#/+")


def text(data):
    """Bytes as a msgpack str, UTF-8 or not."""
    return data.decode("utf-8", "surrogateescape")


def entry(key, value):
    """A map of one entry from encoded halves."""
    return b"\x81" + key + value


BAD_HEADERS = (
    [encode({f"k{n}": n for n in range(65)}), encode({"k": bytes(8192 - 5)}),
     b"\x82" + 2 * (encode("k") + encode(1)), entry(encode(5), encode(1)),
     entry(encode(b"k"), encode(1)), entry(encode("$k"), encode(1)), entry(encode(""), encode(1)),
     entry(encode("k" * 256), encode(1)), entry(encode("\udcff"), encode(1)),
     entry(encode("k"), encode("\udcff"))]
    + [entry(encode("k"), value) for value in (
        b"\x90", b"\x80", encode([1]), b"\xd4\x05\x00", b"\xc7\x00\x01",
        struct.pack(">Bd", 0xcb, float("nan")), struct.pack(">Bd", 0xcb, float("inf")),
        struct.pack(">Bf", 0xca, float("-inf")))])
GOOD_HEADERS = (
    {}, {f"k{n}": n for n in range(64)}, {"k": bytes(8192 - 6)}, {"ü" * 127: "ü"},
    {"s": "", "b": b"\x00\xff", "t": True, "f": False, "n": None, "d": 1.5, "u": 2**64 - 1,
     "i": -2**63})


def pub(topic, headers=b"\x80", payload=b"x"):
    """A PUB from encoded pieces."""
    return b"\x95\x10\x00" + encode(topic) + headers + encode(payload)


class Receivers(BrokerTest):
    def test_wildcards_match_tokens_and_hide_first_ones_with_dollar_or_underscore(self):
        publisher, receiver = self.connect(), self.connect()
        for pattern, matching, others in MATCHES:
            number, = subscribe(receiver, pattern)
            for topic in matching:
                self.assertEqual(confirmed(publisher, topic), 1, (pattern, topic))
            for topic in others:
                answer = confirmed(publisher, topic)
                self.assertEqual(getattr(answer, "code", answer),
                                 Code.REFUSED if topic.startswith("$") else 0, (pattern, topic))
            topics = [event.topic for event in take_deliveries(receiver, len(matching))]
            self.assertEqual(topics, list(matching))
            receiver.answer(receiver.unsub(number))
            self.assertEqual(receiver.pending(), [], pattern)

    def test_overlapping_subscriptions_are_one_delivery_that_names_them_all(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b", "a.*", ">", "c", "a.b")
        self.assertEqual(confirmed(publisher, "a.b"), 1)
        self.assertEqual(sorted(take_deliveries(receiver, 1)[0].subs), [1, 2, 3, 5])

    def test_more_than_64_matches_are_further_deliveries_but_one_receiver(self):
        publisher, receiver = self.connect(), self.connect()
        numbers = subscribe(receiver, *["a.b"] * 150)
        self.assertEqual(confirmed(publisher, "a.b", b"1"), 1)
        deliveries = take_deliveries(receiver, 3)
        self.assertEqual([len(event.subs) for event in deliveries], [64, 64, 22])
        self.assertEqual(sorted(sum((event.subs for event in deliveries), [])), numbers)
        sync(receiver)
        self.assertEqual(receiver.pending(), [])

    def test_unsubscribe_stops_one_subscription(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b", "a.*")
        receiver.answer(receiver.unsub(1))
        self.assertEqual(confirmed(publisher, "a.b"), 1)
        self.assertEqual(take_deliveries(receiver, 1)[0].subs, [2])
        receiver.answer(receiver.unsub(2))
        self.assertEqual(confirmed(publisher, "a.b"), 0)
        self.expect_err(receiver.answer(receiver.unsub(2)), Code.NO_SUCH_SUB)

    def test_ok_comes_before_the_first_publication(self):
        publisher, receiver = self.connect(), self.connect()
        for number in range(1, 20):
            request_id = receiver.sub(number, "a.b")
            while not confirmed(publisher, "a.b"):
                pass
            self.assertEqual(receiver.next_event(), Ok(request_id, 0))
            self.assertEqual(receiver.next_event().subs, [number])
            receiver.answer(receiver.unsub(number))

    def test_observers_see_everything_and_do_not_count(self):
        publisher, receiver, observer = self.connect(), self.connect(), self.connect()
        subscribe(observer, ">", "a.*", observer=True)
        self.assertEqual(confirmed(publisher, "a.b", b"1"), 0)
        subscribe(receiver, "a.b")
        self.assertEqual(confirmed(publisher, "a.b", b"2"), 1)
        self.assertEqual(take_payloads(observer, 2), [b"1", b"2"])
        subscribe(observer, "a.b")                  # beside them, as a receiver too
        self.assertEqual(confirmed(publisher, "a.b", b"3"), 2)

    def test_no_echo_leaves_out_the_publisher_alone(self):
        publisher, other = self.connect(), self.connect()
        subscribe(publisher, "a.b")
        subscribe(other, "a.b")
        self.assertEqual(confirmed(publisher, "a.b", b"1"), 2)
        self.assertEqual(confirmed(publisher, "a.b", b"2", no_echo=True), 1)
        self.assertEqual(confirmed(publisher, "a.b", b"3"), 2)
        self.assertEqual(take_payloads(publisher, 2), [b"1", b"3"])
        self.assertEqual(take_payloads(other, 3), [b"1", b"2", b"3"])

    def test_the_sender_is_who_the_kernel_says(self):
        receiver, publisher = self.connect(), self.connect()
        subscribe(receiver, "a.b")

        def publish(child, address):
            session = self.connect(address)
            child.say(session.welcome.session)
            session.answer(session.publish("a.b", confirm=True))

        child = self.fork(publish, self.broker.path)
        number = int(child.hear())
        delivery, = take_deliveries(receiver, 1)
        self.assertEqual(delivery[1:5], (number, harness.pid_said(child.pid), os.getuid(),
                                         os.getgid()))
        child.end()
        publisher.publish("a.b")
        delivery, = take_deliveries(receiver, 1)
        self.assertEqual(delivery[1:5], (publisher.welcome.session,
                                         harness.pid_said(os.getpid()), os.getuid(), os.getgid()))

    def test_the_report_counts_what_was_done(self):
        publisher, receiver = self.connect(name="p"), self.connect(name="r")
        subscribe(receiver, "a.b", "c")
        for _ in range(5):
            confirmed(publisher, "a.b")
        confirmed(publisher, "nobody")
        confirmed(publisher, "$no")
        take_deliveries(receiver, 5)
        report = status(publisher)
        self.assertEqual({name: report[name] for name in (
            "sessions", "subscriptions", "published", "unrouted", "refused", "queued", "parked",
            "dropped", "requests")}, dict(
                sessions=2, subscriptions=2, published=8, unrouted=1, refused=1, queued=0,
                parked=0, dropped=0, requests=0))
        self.assertEqual(report["broker"]["pid"], self.broker.pid)
        self.assertEqual(report["broker"]["instance"], publisher.welcome.instance.hex())
        clients = {client["name"]: client for client in report["clients"]}
        self.assertEqual(clients["r"]["subscriptions"], 2)
        self.assertEqual(clients["r"]["delivered"], 5)
        self.assertEqual(clients["p"]["pid"], harness.pid_said(os.getpid()))
        self.assertEqual(report["clients_omitted"], 0)


class Form(BrokerTest):
    def test_a_publication_is_forwarded_byte_for_byte(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        plain = encode("a.b") + b"\x80" + encode(b"xyz")
        frames = [b"\x95\x10\x00" + plain, b"\xdc\x00\x05\x10\x00" + plain,
                  b"\xdd\x00\x00\x00\x05\xcc\x10\xcd\x00\x00" + plain,
                  b"\x95\xcf" + bytes(7) + b"\x10\xce" + bytes(4) + plain,
                  b"\x95\xd0\x10\xd3" + bytes(8) + plain,
                  b"\x97\x10\x00" + plain + b"\xc0\x81\x01\x91\xc3",
                  b"\x95\x10\x00\xd9\x03a.b\xde\x00\x01\xdb\x00\x00\x00\x01k\xd1\xff\xff"
                  b"\xc5\x00\x01x",
                  b"\x95\x10\x00\xda\x00\x03a.b\xdf\x00\x00\x00\x00\xc6\x00\x00\x00\x00",
                  b"\x95\x10\x00\xdb\x00\x00\x00\x03a.b\x81\xa1f\xca\x3f\xc0\x00\x00\xc4\x00"]
        for frame in frames:
            publisher.send_frames(frame)
            packet, _ = receiver.recv_packet()
            header = decode_frames(packet)[0]
            self.assertEqual(packet, encode(header) + frame, frame)

    def test_every_byte_and_header_arrives_as_it_was_sent(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, ">")
        payload = bytes(range(256)) * 200
        for headers in GOOD_HEADERS:
            self.assertEqual(confirmed(publisher, "a.b", payload, headers=headers), 1, headers)
            delivery, = take_deliveries(receiver, 1)
            self.assertEqual((delivery.headers, delivery.payload), (headers, payload))
        for topic in GOOD_TOPICS:
            self.assertEqual(confirmed(publisher, text(topic)), 1, topic)
            self.assertEqual(take_deliveries(receiver, 1)[0].topic, text(topic))

    def test_the_largest_frame_passes_and_a_larger_one_does_not(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        room = 65024 - len(pub("a.b", payload=bytes(1000))) + 1000
        for size in (room - 1, room):
            self.assertEqual(confirmed(publisher, "a.b", bytes(size)), 1)
            self.assertEqual(take_payloads(receiver, 1), [bytes(size)])
        publisher.send_raw(pub("a.b", payload=bytes(room + 1)))
        self.expect_bye(publisher, Code.PROTOCOL)

    def test_numbers_have_no_holes_whoever_publishes_to_what(self):
        publishers = [self.connect() for _ in range(3)]
        receiver = self.connect()
        subscribe(receiver, "a.*", "a.0", "*.*")
        sent = []
        for number in range(300):
            publisher = publishers[number % 7 % 3]
            topic = f"a.{number % 5}"
            self.assertEqual(confirmed(publisher, topic, b"%d" % number), 1)
            sent.append((number + 1, publisher.welcome.session, topic, b"%d" % number,
                         [1, 2, 3] if number % 5 == 0 else [1, 3]))
        got = [(event.seq, event.session, event.topic, event.payload, sorted(event.subs))
               for event in take_deliveries(receiver, 300)]
        self.assertEqual(got, sent)

    def test_many_frames_a_packet_keep_their_order(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "*", "t7")
        frames = [[F.PUB, 0, f"t{number // 3 % 9}", {}, b"%d" % number] for number in range(2000)]
        publisher.send_frames(*frames)
        deliveries = take_deliveries(receiver, 2000)
        self.assertEqual([(event.topic, event.payload) for event in deliveries],
                         [(frame[2], frame[4]) for frame in frames])

    def test_sizes_do_not_change_the_order(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, ">")
        sizes = [(number * 7919) % 60000 if number % 3 else number for number in range(150)]
        for number, size in enumerate(sizes):
            publisher.publish(f"a.{number % 4}", b"%6d" % number + bytes(size))
        got = [(int(payload[:6]), len(payload) - 6) for payload in take_payloads(receiver, 150)]
        self.assertEqual(got, list(enumerate(sizes)))


class Confirms(BrokerTest):
    def test_a_confirm_counts_the_sessions_that_took_it(self):
        publisher = self.connect()
        for count in range(5):
            self.assertEqual(confirmed(publisher, "a.b"), count)
            subscribe(self.connect(), "a.*", "a.b")

    def test_10000_pipelined_confirms_come_once_each_and_in_order(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.>")
        first = publisher.new_ids(10000)
        for start in range(0, 10000, 500):
            frames = [[F.PUB, 0, "a.b" if number % 10 else "b", {}, b"%d" % (start + number)]
                      for number in range(500)]
            publisher.send_frames([F.INGRESS, CONFIRM, first + start], *frames)
        answers = []
        while len(answers) < 10000:
            event = publisher.next_event()
            if isinstance(event, Ok):
                answers.append(event)
        self.assertEqual(answers, [Ok(first + number, int(number % 10 > 0))
                                   for number in range(10000)])
        wanted = [b"%d" % number for number in range(10000) if number % 10]
        self.assertEqual([receiver.next_event().payload for _ in wanted], wanted)

    def test_ingress_governs_what_follows_in_its_packet(self):
        session = self.connect()
        subscribe(session, "a.b")
        first = session.new_ids(4)
        plain = [F.PUB, 0, "a.b", {}, b""]
        session.send_frames(plain, [F.INGRESS, CONFIRM | NO_ECHO, first], plain, [0x41], plain,
                            [F.INGRESS, 0], plain, [F.INGRESS, CONFIRM, first + 2], plain,
                            [F.PUB, 0, "a..b", {}, b""])
        session.send_frames(plain)
        sync(session)
        answers = [event for event in session.pending() if not is_delivery(event)]
        self.assertEqual(answers[:3], [Ok(first, 0), Ok(first + 1, 0), Ok(first + 2, 1)])
        self.assertEqual(answers[3][:2], (first + 3, Code.BAD_TOPIC))
        self.assertEqual(len(session.pending()), 4 + 4)


class Refusals(BrokerTest):
    def refused(self, session, frame, code):
        """Publish what is refused, without an id and with one, beside what is not."""
        good = [F.PUB, 0, "good", {}, b""]
        session.send_frames(frame)
        self.expect_err(session.next_event(), code)
        first = session.new_ids(3)
        session.send_frames([F.INGRESS, CONFIRM, first], good, frame, good)
        self.assertEqual(session.next_event(), Ok(first, 0))
        error = session.next_event()
        self.expect_err(error, code)
        self.assertEqual(error.id, first + 1)
        self.assertEqual(session.next_event(), Ok(first + 2, 0))

    def test_a_bad_topic_is_answered_and_the_session_goes_on(self):
        session = self.connect()
        for topic in BAD_TOPICS:
            self.refused(session, pub(text(topic)), Code.BAD_TOPIC)

    def test_topics_of_the_broker_are_refused(self):
        session = self.connect()
        for topic in ("$sys.status", "$", "$x.y"):
            self.refused(session, pub(topic), Code.REFUSED)

    def test_bad_headers_are_answered_and_the_session_goes_on(self):
        session = self.connect()
        for headers in BAD_HEADERS:
            self.refused(session, pub("a.b", headers), Code.BAD_HEADERS)

    def test_unknown_flags_are_answered_and_the_session_goes_on(self):
        session, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        for flag in (16, 1 << 31, 1 << 63):
            session.send_frames([F.INGRESS, flag], pub("a.b"))
            self.expect_err(session.next_event(), Code.UNSUPPORTED)
        sync(receiver)
        self.assertEqual(receiver.pending(), [])

    def test_nobody_receives_what_was_refused_and_the_window_gets_it_back(self):
        session, receiver = self.connect(), self.connect()
        subscribe(receiver, ">")
        for number in range(100):                   # 6 MB, the window is 1
            session.publish("a..b" if number % 2 else "$x", bytes(60000))
        sync(session)
        errors = [event for event in session.pending() if isinstance(event, Err)]
        self.assertEqual([error.code for error in errors], [Code.REFUSED, Code.BAD_TOPIC] * 50)
        sync(receiver)
        self.assertEqual(receiver.pending(), [])
        self.assertEqual(status(receiver)["refused"], 100)


if __name__ == "__main__":
    harness.main()
