"""Flow control: who waits for a slow receiver, who does not, and how it ends."""

import fcntl
import os
import signal

import harness
from child import eventually
from wire_case import (
    BrokerTest, confirmed, is_delivery, status, subscribe, sync, take_deliveries, take_payloads)
from wire_codec import Code, Credit, Frame as F, Ok, Pong, encode

SIZE = 8000


def numbered(number):
    return b"%08d" % number + bytes(SIZE - 8)


def numbers(payloads):
    """The numbers of such payloads, each of which must be whole."""
    return [int(payload[:8]) if payload[8:] == bytes(SIZE - 8) else payload for payload in payloads]


def fill(session, topic, ids=None, spare=0):
    """Publish with confirms until nothing more is let through; return the ids.

    Whatever a turn of the broker sets free is told before the answer to the second PING.
    spare   bytes of the window that shall be left.
    """
    cost = len(encode([F.PUB, 0, topic, {}, bytes(SIZE)])) + spare
    ids, idle = ids or [], 0
    while idle < 2:
        if session.window.left >= cost:
            ids.append(session.publish(topic, numbered(len(ids)), confirm=True))
            idle = 0
        else:
            sync(session)
            idle += 1
    return ids


def confirms(session):
    """The OKs that have come and were not taken."""
    return [event for event in session.pending() if isinstance(event, Ok)]


class Blocked(BrokerTest):
    """A publisher that waits for a receiver which does not read."""

    limits = {"queue_bytes": 65536, "window_bytes": 262144}

    def setUp(self):
        super().setUp()
        self.publisher, self.slow = self.connect(name="publisher"), self.connect(name="slow")
        subscribe(self.slow, "slow.*")

    def finish(self, ids, receivers=1):
        """The slow one reads on: everything comes, in order, and is confirmed."""
        for number in range(len(ids)):
            self.assertEqual(numbers(take_payloads(self.slow, 1)), [number])
        for request_id in ids:
            self.assertEqual(self.publisher.answer(request_id).value, receivers)

    def test_what_has_no_room_waits_at_its_publisher_and_nothing_is_lost(self):
        ids = fill(self.publisher, "slow.x")
        waiting = len(ids) - len(confirms(self.publisher))
        self.assertGreater(waiting, 262144 // SIZE // 2)
        report = status(self.connect())
        clients = {client["name"]: client for client in report["clients"]}
        self.assertEqual(report["parked"], waiting)
        self.assertEqual(clients["publisher"]["parked_bytes"], report["parked_bytes"])
        self.assertLessEqual(clients["slow"]["queued_bytes"], 65536)
        self.finish(ids)
        self.assertEqual(status(self.publisher)["parked"], 0)

    def test_all_but_publications_overtakes_what_waits(self):
        ids = fill(self.publisher, "slow.x")
        other = self.connect()
        subscribe(self.publisher, "to.me")
        self.assertEqual(confirmed(other, "to.me", b"!"), 1)
        self.assertEqual(take_payloads(self.publisher, 1), [b"!"])
        self.publisher.answer(self.publisher.unsub(1))
        subscribe(other, "svc")
        asked = other.request("svc")
        request = other.take(is_delivery)
        self.expect_err(self.publisher.answer(self.publisher.unsub(9)), Code.NO_SUCH_SUB)
        other.reply(request.token)
        other.answer(asked)
        sync(self.publisher)
        self.finish(ids)

    def test_a_request_that_waits_can_be_cancelled_and_times_out(self):
        responder = self.connect()
        subscribe(responder, "svc")
        ids = fill(self.publisher, "slow.x", spare=200)
        cancelled = self.publisher.request("svc", timeout_ms=86400000)
        late = self.publisher.request("svc", timeout_ms=20)
        self.publisher.cancel(cancelled)
        self.expect_err(self.publisher.answer(cancelled), Code.CANCELLED)
        self.expect_err(self.publisher.answer(late), Code.TIMEOUT)
        self.finish(ids)
        sync(self.publisher)
        sync(responder)
        self.assertEqual(responder.pending(), [])

    def test_receivers_with_room_get_at_once_what_waits_for_another(self):
        fast = self.connect()
        subscribe(fast, "slow.*")
        ids, before = fill(self.publisher, "slow.x"), 0
        while before < len(ids):
            before = len(ids)
            sync(fast)                              # reads all that it has
            ids = fill(self.publisher, "slow.x", ids)
        sync(fast)
        got = [event.payload for event in fast.pending() if is_delivery(event)]
        # All that the slow one took, and the first that it did not.
        self.assertEqual(numbers(got), list(range(len(confirms(self.publisher)) + 1)))
        self.finish(ids, receivers=2)
        self.assertEqual(numbers(take_payloads(fast, len(ids))), list(range(len(ids))))

    def test_unrelated_sessions_are_served_meanwhile(self):
        left, right = self.connect(), self.connect()
        subscribe(left, "left")
        subscribe(right, "right")
        ids = fill(self.publisher, "slow.x")
        before = status(left)["parked"]
        for number in range(2000):
            there, back = (left, right) if number % 2 else (right, left)
            topic = "right" if number % 2 else "left"
            self.assertEqual(confirmed(there, topic, b"%d" % number), 1)
            self.assertEqual(take_payloads(back, 1), [b"%d" % number])
        self.assertEqual(status(left)["parked"], before)
        self.finish(ids)

    def test_a_second_publisher_waits_too_and_both_keep_their_order(self):
        second = self.connect()
        ids = {session.welcome.session: (session, fill(session, "slow.x"))
               for session in (self.publisher, second)}
        counts = dict.fromkeys(ids, 0)
        for delivery in take_deliveries(self.slow, sum(len(own) for _, own in ids.values())):
            self.assertEqual(numbers([delivery.payload]), [counts[delivery.session]])
            counts[delivery.session] += 1
        for session, own in ids.values():
            self.assertEqual([session.answer(request_id).value for request_id in own],
                             [1] * len(own))

    def test_what_waits_outlives_its_publisher(self):
        for leave in (lambda session: session.close(), lambda session: session.bye()):
            publisher = self.connect()
            ids = fill(publisher, "slow.x")
            leave(publisher)
            payloads = take_payloads(self.slow, len(ids))
            self.assertEqual(numbers(payloads), list(range(len(ids))))
            if publisher.state == "leaving":        # it stays for the answers
                events = self.expect_bye(publisher, Code.NONE)
                self.assertEqual([event.id for event in events if isinstance(event, Ok)], ids)

    def test_a_receiver_that_goes_frees_its_publishers(self):
        for go in (lambda session: session.send_frames([F.BYE, 0, ""]),
                   lambda session: session.close(),
                   lambda session: session.send_raw(b"\xc1")):
            slow, publisher = self.connect(), self.connect()
            subscribe(slow, "gone")
            ids = fill(publisher, "gone")
            self.assertLess(len(confirms(publisher)), len(ids))
            go(slow)
            counts = [publisher.answer(request_id).value for request_id in ids]
            self.assertEqual(counts, sorted(counts, reverse=True))
            slow.close()

    def test_a_receiver_that_is_killed_frees_its_publishers(self):
        def receive(child):
            subscribe(self.connect(), "killed")
            child.say("ready")
            child.hear()

        child = self.fork(receive)
        child.hear()
        ids = fill(self.publisher, "killed")
        self.assertLess(len(confirms(self.publisher)), len(ids))
        child.signal(signal.SIGKILL)
        self.assertEqual({self.publisher.answer(request_id).value for request_id in ids}, {0, 1})
        child.end(-signal.SIGKILL)

    def test_more_than_the_window_ends_the_session(self):
        ids = fill(self.publisher, "slow.x")
        self.publisher.send_raw(encode([F.PUB, 0, "slow.x", {}, bytes(SIZE)]))
        self.expect_bye(self.publisher, Code.WINDOW)
        self.assertEqual(numbers(take_payloads(self.slow, len(ids))), list(range(len(ids))))

    def test_exactly_the_window_is_allowed(self):
        ids = fill(self.publisher, "slow.x")
        empty = len(encode([F.PUB, 0, "slow.x", {}, b""]))
        self.publisher.publish("slow.x", bytes(self.publisher.window.left - empty - 1))
        self.assertLessEqual(self.publisher.window.left, 1)
        sync(self.publisher)
        self.finish(ids)

    def test_credit_gives_back_what_publications_cost_and_nothing_else(self):
        publisher = self.connect()
        cost = len(encode([F.PUB, 0, "nobody", {}, bytes(SIZE)]))
        for _ in range(100):
            publisher.send_frames([F.INGRESS, 0], [F.PUB, 0, "nobody", {}, bytes(SIZE)], [0x40])
        sync(publisher)
        credit = sum(event.amount for event in publisher.pending() if isinstance(event, Credit))
        self.assertEqual(credit + publisher.window.left, 262144 - 100 * cost + 2 * credit)
        self.assertGreaterEqual(publisher.window.left, 262144 // 2)


class Stalled(BrokerTest):
    limits = {"queue_bytes": 65536, "window_bytes": 262144, "stall_ms": 150,
              "control_bytes": 4096}

    def test_who_does_not_read_for_stall_ms_is_told_and_frees_its_publishers(self):
        publisher, slow, fast = self.connect(), self.connect(), self.connect()
        subscribe(slow, "slow.x")
        subscribe(fast, "slow.x")
        ids = []
        for number in range(200):
            ids.append(publisher.publish("slow.x", numbered(number), confirm=True))
            self.assertEqual(numbers(take_payloads(fast, 1)), [number])
        counts = [publisher.answer(request_id).value for request_id in ids]
        self.assertEqual((counts[0], counts[-1]), (2, 1))
        self.assertEqual(counts, sorted(counts, reverse=True))
        events = self.expect_bye(slow, Code.STALLED, "stall_ms")
        self.assertEqual(numbers(event.payload for event in events), list(range(len(events))))

    def test_who_reads_is_not_stalled_however_long_it_lasts(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        for number in range(1000):
            publisher.publish("a.b", numbered(number))
            self.assertEqual(numbers(take_payloads(receiver, 1)), [number])

    def test_answers_that_are_not_read_end_the_session(self):
        session, other = self.connect(), self.connect()
        pings = encode([F.PING, 2**64 - 1]) * 300
        sent = 0
        while session.send_raw(pings):
            sent += 300
        events = self.expect_bye(session, Code.STALLED, "control_bytes")
        self.assertEqual(set(events), {Pong(2**64 - 1)})
        self.assertLess(len(events), sent)
        sync(other)


class Endings(BrokerTest):
    def publish_and_exit(self, child, address, count, unread):
        """Ends without BYE or close, maybe with a lot of input that it never read."""
        session = self.connect(address)
        if unread:
            subscribe(session, "a.>")
        for number in range(count):
            session.publish("a.b", b"%d" % number, confirm=unread)
        os._exit(0)

    def test_a_publisher_that_exits_at_once_loses_nothing(self):
        for unread in (False, True):
            receiver = self.connect()
            subscribe(receiver, "a.b")
            child = self.fork(self.publish_and_exit, self.broker.address, 3000, unread)
            self.assertEqual(take_payloads(receiver, 3000), [b"%d" % k for k in range(3000)])
            child.end()
            receiver.close()

    def test_sigterm_delivers_what_is_queued_and_exits_with_0(self):
        publisher, receiver, silent = self.connect(), self.connect(), self.socket()
        subscribe(receiver, "a.b")
        for number in range(300):
            publisher.publish("a.b", numbered(number))
        sync(publisher)
        self.broker.process.signal(signal.SIGTERM)
        self.broker.process.wait_line("broker: stopping", "err")
        self.assertEqual(numbers(take_payloads(receiver, 300)), list(range(300)))
        for session in (publisher, receiver, silent):
            self.expect_bye(session, Code.SHUTDOWN)
        self.assertEqual(self.broker.process.wait(), 0)
        self.broker.check_report()

    def test_sigterm_does_not_wait_longer_than_drain_ms(self):
        broker = self.new_broker(limits={"drain_ms": 50})
        publisher, receiver = self.connect(broker.address), self.connect(broker.address)
        subscribe(receiver, "a.b")
        for number in range(300):
            publisher.publish("a.b", numbered(number))
        sync(publisher)
        broker.stop()                               # exit status 0
        got = numbers(event.payload for event in receiver if is_delivery(event))
        self.assertEqual(got, list(range(len(got))))
        self.assertLess(len(got), 300)

    def test_sigterm_frees_the_addresses_before_it_drains(self):
        publisher, receiver = self.connect(), self.connect()
        subscribe(receiver, "a.b")
        for number in range(300):
            publisher.publish("a.b", numbered(number))
        sync(publisher)
        self.broker.process.signal(signal.SIGTERM)
        self.broker.process.wait_line("broker: stopping", "err")
        eventually(self.is_lock_free, "the last of its listeners is closed")
        second = self.new_broker(listen=(self.broker.address, self.broker.path))
        sync(self.connect())
        self.assertTrue(second.is_running())
        self.assertTrue(self.broker.is_running())
        self.assertEqual(len(take_deliveries(receiver, 300)), 300)
        self.assertEqual(self.broker.process.wait(), 0)
        self.assertTrue(os.path.exists(self.broker.path))   # the second one's

    def is_lock_free(self):
        with open(self.broker.path + ".lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def feed(self, child, address, own, others, count):
        """Publishes to the other and reads what comes from it, as it comes."""
        session = self.connect(address)
        subscribe(session, own)
        child.say("ready")
        child.hear()
        for number in range(count):
            session.publish(others, b"%d" % number + bytes(1000))
        payloads = take_payloads(session, count)
        assert payloads == [b"%d" % number + bytes(1000) for number in range(count)]
        assert confirmed(session, "nobody") == 0

    def test_two_that_feed_each_other_do_not_wait_for_each_other(self):
        broker = self.new_broker(limits={"queue_bytes": 65536, "window_bytes": 262144})
        children = [self.fork(self.feed, broker.address, own, others, 3000)
                    for own, others in (("a", "b"), ("b", "a"))]
        for child in children:
            child.hear()
        for child in children:
            child.say("go")
        for child in children:
            child.end()


if __name__ == "__main__":
    harness.main()
