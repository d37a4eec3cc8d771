"""Large payloads, placed in a sealed memfd or sent in chunks, to who takes the one or the other."""

import hashlib
import os
import random
import signal

import harness
from fd_case import FdTest, identities
from wire_case import BrokerTest, confirmed, is_delivery, subscribe, sync
from wire_codec import Code, Err, Flag, Frame as F, Pong, encode
from wire_payload import CHUNK_BYTES
from wire_socket import close_fds

MIB = 1 << 20
PUB_HEAD = len(encode([F.PUB, 0, "large.x", {}, bytes(60000)])) - 60000
FITS = 65024 - PUB_HEAD         # the largest payload of one PUB
SMALL_GROWTH_KB = 8 * 1024


def random_bytes(size):
    """As many as are asked for, the same each time, and cheap."""
    block = random.Random(size).randbytes(min(size, MIB))
    return (block * (size // len(block) + 1))[:size] if size else b""


def digest(payload):
    return hashlib.sha256(payload).hexdigest()


class LargeTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.publisher = self.connect()
        self.takes_memfd, self.takes_chunks = self.connect(), self.connect(features=0)
        for session in (self.takes_memfd, self.takes_chunks):
            subscribe(session, "large.*")

    def check(self, payload, forms=None):
        """Both get it whole, in these forms: that of who takes a memfd, that of who does not."""
        got = [session.take(is_delivery) for session in (self.takes_memfd, self.takes_chunks)]
        for delivery in got:
            self.assertEqual((len(delivery.payload), digest(delivery.payload), delivery.withheld),
                             (len(payload), digest(payload), 0))
        if forms:
            self.assertEqual(tuple(delivery.form for delivery in got), forms, len(payload))


class Sizes(LargeTest):
    def test_every_size_arrives_however_it_was_sent(self):
        for size in (1, 2, 1000, FITS - 1, FITS, FITS + 1, 65023, 65024, 65025, 65535, 65536,
                     65537, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, MIB - 1, MIB, MIB + 1):
            payload = random_bytes(size)
            self.publisher.publish("large.x", payload, form="placed")
            self.check(payload, ("placed", "chunked"))
            self.publisher.publish("large.x", payload, form="chunked")
            self.check(payload, None if size <= FITS else ("placed", "chunked"))

    def test_one_that_fits_a_frame_comes_as_it_was_published(self):
        for size in (0, 1, FITS):
            self.publisher.publish("large.x", bytes(size), form="plain")
            self.check(bytes(size), ("plain", "plain"))

    def test_a_hundred_mebibytes(self):
        payload = random_bytes(100 * MIB)
        for form in ("placed", "chunked"):
            self.publisher.publish("large.x", payload, form=form)
            self.check(payload, ("placed", "chunked"))

    def test_a_size_that_was_not_known_before(self):
        for size in (0, 1, FITS, FITS + 1, 3 * CHUNK_BYTES):
            payload = random_bytes(size)
            self.publisher.send_frames([F.BEGIN, 0, "large.x", {"k": 1}, 0])
            for start in range(0, size, 50000):
                self.publisher.send_frames([F.CHUNK, payload[start:start + 50000]])
            self.publisher.send_frames([F.END, 0])
            self.check(payload)

    def test_chunks_of_any_size_in_any_packets(self):
        rng = random.Random(3)
        for _ in range(20):
            payload, frames = b"", [[F.BEGIN, 0, "large.x", {}, 0]]
            for _ in range(rng.randrange(60)):
                data = rng.randbytes(rng.choice((0, 1, 10, 500, 5000)))
                payload += data
                frames.append([F.CHUNK, data])
            frames += [[F.END, 0], [F.PUB, 0, "large.y", {}, b"behind it"]]
            while frames:
                count = rng.randrange(1, 12)
                self.publisher.send_frames(*frames[:count])
                del frames[:count]
            self.check(payload)
            self.check(b"behind it", ("plain", "plain"))


class Together(LargeTest):
    """Large ones are publications like all others."""

    def test_order_is_kept_among_small_and_large_ones(self):
        rng, sent = random.Random(4), []
        for number in range(60):
            form = rng.choice(("plain", "placed", "chunked"))
            payload = b"%d " % number + random_bytes(rng.choice((1, 1000, 60000)) + number)
            if form != "plain":
                payload += bytes(rng.choice((0, 100000)))
            sent.append(payload)
            self.publisher.publish("large.x", payload, form=form)
            if number % 10 == 9:
                for payload in sent[-10:]:
                    self.check(payload)

    def test_other_frames_may_stand_between_the_chunks(self):
        self.publisher.send_frames([F.INGRESS, 1, self.publisher.new_ids()],
                                   [F.BEGIN, 0, "large.x", {}, 6])
        sub = self.publisher.sub(1, "large.*")
        self.publisher.send_frames([F.CHUNK, b"abc"], [F.PING, 5], [0x41])
        self.publisher.take(lambda event: event == Pong(5))
        self.assertEqual(self.publisher.answer(sub).value, 0)
        self.publisher.send_frames([F.CHUNK, b"def"], [F.END, 0])
        self.assertEqual(self.publisher.answer(1).value, 3)
        self.assertEqual(self.publisher.take(is_delivery).payload, b"abcdef")
        self.check(b"abcdef")

    def test_confirms_count_the_receivers_and_keep_their_order(self):
        ids = []
        for form in ("placed", "plain", "chunked", "placed", "chunked"):
            ids.append(self.publisher.publish("large.x", bytes(60000), form=form, confirm=True))
        self.publisher.send_frames([F.INGRESS, 1, self.publisher.new_ids(3)],
                                   [F.PUB, 0, "large.x", {}, b"1"], [F.BEGIN, 0, "large.x", {}, 0],
                                   [F.CHUNK, b"2"], [F.END, 0], [F.PUB, 0, "large.x", {}, b"3"])
        for request_id in [*ids, ids[-1] + 1, ids[-1] + 2, ids[-1] + 3]:
            self.assertEqual(self.publisher.answer(request_id).value, 2)
        for _ in ids:
            self.check(bytes(60000))
        for payload in (b"1", b"2", b"3"):
            self.check(payload)

    def test_requests_and_replies_may_be_large_too(self):
        services = {"placed": self.connect(), "chunked": self.connect(features=0)}
        askers = self.connect(), self.connect(features=0)
        for form, service in services.items():
            subscribe(service, f"svc.{form}")
        question, answer = random_bytes(MIB), random_bytes(2 * MIB)
        for form, service in services.items():
            for asker in askers:
                for asked_as in ("placed", "chunked"):
                    asked = asker.request(f"svc.{form}", question, form=asked_as)
                    request = service.take(is_delivery)
                    self.assertEqual((request.payload == question, request.flags, request.form),
                                     (True, Flag.REQUEST, form))
                    service.reply(request.token, answer[:MIB], more=True, form="placed")
                    service.reply(request.token, answer, form="chunked")
                    first, last = asker.answer(asked), asker.answer(asked)
                    self.assertTrue(first.payload == answer[:MIB] and last.payload == answer)
                    self.assertEqual((first.flags, last.flags), (Flag.REPLY | Flag.MORE,
                                                                 Flag.REPLY))

    def test_answers_overtake_a_payload_on_its_way_in_chunks(self):
        payload = random_bytes(20 * MIB)
        self.publisher.publish("large.x", payload, form="placed")
        self.publisher.publish("large.x", b"behind it")
        sync(self.publisher)
        self.takes_chunks.ping(7)
        kinds = []
        while len(kinds) < 3:
            event = self.takes_chunks.next_event()
            kinds.append(getattr(event, "form", type(event).__name__))
        self.assertEqual(kinds, ["Pong", "chunked", "plain"])

    def test_no_echo_counts_from_begin_and_a_request_runs_from_end(self):
        subscribe(self.publisher, "large.*", "svc")
        self.publisher.publish("large.x", bytes(MIB), form="chunked", no_echo=True)
        self.check(bytes(MIB))
        asker = self.connect()
        asked = asker.new_ids()
        asker.send_frames([F.REQUEST, asked, 50], [F.BEGIN, 0, "svc", {}, 3])
        mute = self.publisher.request("large.x", timeout_ms=200)
        self.expect_err(self.publisher.answer(mute), Code.TIMEOUT)      # so time has passed
        asker.send_frames([F.CHUNK, b"now"], [F.END, 0])
        request = self.publisher.take(lambda event: getattr(event, "topic", "") == "svc")
        self.assertEqual((request.payload, request.seq), (b"now", 2))
        self.publisher.reply(request.token, b"!")
        self.assertEqual(asker.answer(asked).payload, b"!")

    def test_requests_and_replies_can_be_given_up(self):
        subscribe(self.publisher, "svc")
        asker = self.connect()
        given_up = asker.new_ids()
        asker.send_frames([F.REQUEST, given_up, 0], [F.BEGIN, 0, "svc", {}, 0], [F.END, 1])
        self.expect_err(asker.answer(given_up), Code.CANCELLED)
        asked = asker.request("svc")
        token = self.publisher.take(is_delivery).token
        reply = self.publisher.new_ids()
        self.publisher.send_frames([F.REPLY, token, 0, reply], [F.BEGIN, 0, "", {}, 0],
                                   [F.CHUNK, b"no"], [F.END, 1])
        self.expect_err(self.publisher.answer(reply), Code.CANCELLED)
        self.publisher.reply(token, b"yes")
        self.assertEqual(asker.answer(asked).payload, b"yes")

    def test_who_leaves_or_is_cut_off_in_the_middle_of_chunks_costs_nothing(self):
        leaver, closer = self.connect(features=0), self.connect(features=0)
        for session in (leaver, closer):
            subscribe(session, "large.*")
        payload = random_bytes(10 * MIB)
        self.publisher.publish("large.x", payload, form="placed")
        for session in (leaver, closer):
            self.assertTrue(session.recv_packet()[0])       # the first of many packets
        closer.close()
        self.check(payload)
        self.assertEqual(confirmed(self.publisher, "large.x", b"next"), 3)
        self.check(b"next")
        self.broker.wait_status(lambda report: report["sessions"] == 5, "end of the closed one")

    def test_a_broker_that_stops_sends_the_rest_first(self):
        payload = random_bytes(10 * MIB)
        self.publisher.publish("large.x", payload, form="placed")
        sync(self.publisher)
        self.broker.process.signal(signal.SIGTERM)
        self.broker.process.wait_line("broker: stopping", "err")
        self.check(payload, ("placed", "chunked"))
        for session in (self.takes_memfd, self.takes_chunks):
            self.expect_bye(session, Code.SHUTDOWN)
        self.assertEqual(self.broker.process.wait(), 0)

    def test_what_is_given_up_reaches_nobody(self):
        self.publisher.send_frames([F.INGRESS, 1, self.publisher.new_ids()],
                                   [F.BEGIN, 0, "large.x", {}, 100], [F.CHUNK, b"some"])
        self.publisher.send_frames([F.END, 1])
        self.expect_err(self.publisher.answer(1), Code.CANCELLED)
        self.publisher.send_frames([F.BEGIN, 0, "large.x", {}, 0], [F.CHUNK, b"x"], [F.END, 1])
        sync(self.publisher)
        self.assertFalse([event for event in self.publisher.pending() if isinstance(event, Err)])
        leaver = self.connect()
        leaver.send_frames([F.BEGIN, 0, "large.x", {}, 0], [F.CHUNK, bytes(60000)])
        leaver.close()
        self.publisher.publish("large.x", b"the next")
        self.check(b"the next")

    def test_a_backlog_has_a_limit_for_placed_bytes_and_at_least_one_fits(self):
        broker = self.new_broker(limits={"placed_bytes": MIB})
        publisher, receiver = self.connect(broker.address), self.connect(broker.address)
        subscribe(receiver, "large.*")
        receiver.auto_fd_credit = False
        payload = random_bytes(MIB)
        ids = [publisher.publish("large.x", payload, form="placed", confirm=True)
               for _ in range(20)]
        sync(publisher)
        report = broker.status()
        # 16 payloads are under way, one waits in the backlog, the rest at its publisher.
        self.assertEqual((report["placed_bytes"], report["queued"], report["parked"]), (MIB, 1, 3))
        for _ in ids:
            self.assertEqual(receiver.take(is_delivery).payload, payload)
            receiver.credit(2, 0, 1)
        for request_id in ids:
            self.assertEqual(publisher.answer(request_id).value, 1)


class WithDescriptors(FdTest):
    """A publication's own descriptors, beside those of its payload."""

    def setUp(self):
        super().setUp()
        self.sessions = {(most, features): self.connect(features=features)
                         for most in (0, 4, 16) for features in (0, 1)}
        for (most, _), session in self.sessions.items():
            subscribe(session, "fds.*", max_fds=most)

    def test_max_fds_does_not_count_the_payloads(self):
        payload = random_bytes(200000)
        for count in (0, 1, 4, 5, 16):
            fds = self.files(count)
            for form in ("placed", "chunked"):
                self.publisher.publish("fds.x", payload, form=form, fds=fds)
                for (most, features), session in self.sessions.items():
                    delivery = self.take(session)
                    kept = fds if count <= most else []
                    self.assertEqual(
                        (delivery.payload == payload, identities(delivery.fds), delivery.withheld,
                         delivery.form),
                        (True, identities(kept), count - len(kept),
                         "placed" if features else "chunked"), (count, most, form))

    def test_a_small_payload_in_chunks_keeps_its_descriptors(self):
        fds = self.files(4)
        self.publisher.publish("fds.x", b"small", form="chunked", fds=fds)
        for (most, _), session in self.sessions.items():
            delivery = self.take(session)
            self.assertEqual((delivery.payload, len(delivery.fds)), (b"small", 4 * (most >= 4)))

    def test_nobody_keeps_any_of_them(self):
        with self.leaves_nothing() as fd:
            for form in ("placed", "chunked"):
                self.publisher.publish("fds.x", bytes(MIB), form=form, fds=[fd(), fd()])
                for session in self.sessions.values():
                    close_fds(session.take(is_delivery).fds)


class Memory(LargeTest):
    """The broker's own memory does not grow with a payload."""

    # AddressSanitizer keeps what was freed for a while.
    process = {"env": harness.clean_env(
        ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")}

    def peak_kb(self):
        with open(f"/proc/{self.broker.pid}/status", encoding="ascii") as file:
            return int(file.read().partition("VmHWM:")[2].split()[0])

    def grows_little(self, form):
        payload = random_bytes(MIB)
        self.publisher.publish("large.x", payload, form=form)   # what is needed once
        self.check(payload)
        before = self.peak_kb()
        payload = random_bytes(256 * MIB)
        self.assertEqual(confirmed(self.publisher, "large.x", payload, form=form), 2)
        self.check(payload, ("placed", "chunked"))
        self.assertLess(self.peak_kb() - before, SMALL_GROWTH_KB)

    def test_it_stays_small_when_a_payload_is_placed(self):
        self.grows_little("placed")

    def test_it_stays_small_when_a_payload_comes_in_chunks(self):
        self.grows_little("chunked")


if __name__ == "__main__":
    harness.main()
