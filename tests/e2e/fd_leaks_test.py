"""Descriptors whose message goes nowhere: whatever happens to it, nobody keeps them open.

Each test sends the only writing ends of pipes. A pipe tells when the last of them is closed, in
whatever process or queue of the kernel it was; beside that, the broker's own are counted.
"""

import os
import resource
import signal
import socket
import time

import harness
from child import eventually
from fd_case import FdTest, Lingering, Witness
from wire_case import confirmed, is_delivery, subscribe, sync
from wire_codec import Code, Err, Frame as F, encode
from wire_socket import close_fds, send_packet

SO_PASSRIGHTS = 83
PUB1 = encode([F.PUB, 1, "a.b", {}, b""])
PUB2 = encode([F.PUB, 2, "a.b", {}, b""])


class Nowhere(FdTest):
    """The session goes on."""

    def test_nobody_subscribed_or_nobody_who_takes_them(self):
        subscribe(self.connect(), "n.*")
        with self.leaves_nothing() as fd:
            for topic, receivers in (("unknown", 0), ("n.x", 1)):
                for count in (1, 16):
                    fds = [fd() for _ in range(count)]
                    self.assertEqual(confirmed(self.publisher, topic, fds=fds), receivers)

    def test_what_is_refused(self):
        with self.leaves_nothing() as fd:
            for topic, headers in (("a..b", {}), ("", {}), ("$sys.x", {}), ("a.*", {}),
                                   ("a.b", {"$x": 1}), ("a.b", {"x": [1]})):
                self.assertIsInstance(confirmed(self.publisher, topic, headers=headers,
                                                fds=[fd(), fd()]), Err)
            for flags in (16, 1 << 20):             # that nobody knows
                self.publisher.send_frames([F.INGRESS, flags], [F.PUB, 1, "a.b", {}, b""],
                                           fds=[fd()])
            sync(self.publisher)

    def test_what_was_kept_and_is_cleared(self):
        with self.leaves_nothing() as fd:
            for flags in (2, 8):                    # RETAIN, WILL
                self.publisher.send_frames([F.INGRESS, flags], [F.PUB, 1, "kept", {}, b""],
                                           fds=[fd()])
            self.publisher.send_frames([F.INGRESS, 2], [F.PUB, 0, "kept", {}, b""])
            self.publisher.send_frames([F.INGRESS, 8], [F.PUB, 0, "", {}, b""])
            sync(self.publisher)

    def test_requests_that_nobody_answers_and_replies_that_nobody_wants(self):
        with self.leaves_nothing() as fd:
            for topic in ("unknown", "$sys.status", "a..b"):
                self.publisher.answer(self.publisher.request(topic, fds=[fd()]))
            asked = [self.publisher.request("a.b", timeout_ms=20, fds=[fd()]) for _ in range(3)]
            for request_id in asked:
                self.expect_err(self.publisher.answer(request_id), Code.TIMEOUT)
            cancelled = self.publisher.request("a.b", fds=[fd()])
            self.publisher.cancel(cancelled)
            self.publisher.answer(cancelled)
            for _ in range(4):
                delivery = self.receiver.take(is_delivery)
                close_fds(delivery.fds)
                answer = self.receiver.reply(delivery.token, confirm=True, fds=[fd()])
                self.expect_err(self.receiver.answer(answer), Code.BAD_TOKEN)

    def test_a_reply_whose_requester_takes_none(self):
        with self.leaves_nothing() as fd:
            request = self.publisher.request("a.b", fds=[fd()])
            delivery = self.receiver.take(is_delivery)
            close_fds(delivery.fds)
            self.receiver.reply(delivery.token, fds=[fd(), fd()])
            self.assertEqual(self.publisher.answer(request).withheld, 2)

    def test_an_unfinished_publication_that_is_given_up(self):
        begin = [F.BEGIN, 2, "a.b", {}, 0]
        with self.leaves_nothing() as fd:
            self.publisher.send_frames(begin, fds=[fd(), fd()])
            self.publisher.send_frames([F.CHUNK, bytes(60000)])
            self.publisher.send_frames([F.CHUNK, bytes(60000)])
            self.publisher.send_frames([F.END, 1])
            refused = [F.BEGIN, 1, "a.b", {}, 1 << 60]
            self.publisher.send_frames(refused, fds=[fd()])
            self.publisher.send_frames([F.END, 1])
            sync(self.publisher)

    def test_a_receiver_that_found_no_room_for_them_goes_on(self):
        with self.leaves_nothing() as fd:
            for count in (1, 16):
                self.publisher.publish("a.b", b"x", fds=[fd() for _ in range(count)])
            self.publisher.publish("a.b", b"no room is needed")
            sync(self.publisher)
            most = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most[1]))
            try:
                got = [self.receiver.take(is_delivery) for _ in range(3)]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, most)
            self.assertEqual([(event.withheld, event.fds) for event in got],
                             [(1, []), (16, []), (0, [])])
        (fd,) = self.files(1)
        self.publisher.publish("a.b", fds=[fd])
        self.assertEqual(len(self.take().fds), 1)


    def test_a_receiver_that_refuses_them_gets_the_rest(self):
        """SO_PASSRIGHTS (Linux 6.16): its own socket lets none in."""
        try:
            self.receiver.sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:                             # a kernel that does not have it
            return
        payload = bytes(range(256)) * 1000
        with self.leaves_nothing() as fd:
            self.publisher.publish("a.b", b"1", fds=[fd(), fd()])
            form = "placed" if self.publisher.welcome.features else "chunked"
            self.publisher.publish("a.b", payload, form=form, fds=[fd()])
            self.publisher.publish("a.b", b"3", fds=[fd()])
            for wanted, withheld in ((b"1", 2), (payload, 1), (b"3", 1)):
                delivery = self.receiver.take(is_delivery)
                self.assertEqual((delivery.payload == wanted, delivery.withheld, delivery.fds),
                                 (True, withheld, []))
        sync(self.publisher)
        self.assertFalse([event for event in self.publisher.pending() if isinstance(event, Err)])


class Wrong(FdTest):
    """The session ends."""

    def ends(self, code, data, fds, hello=True):
        """This packet ends the session that sends it."""
        with self.connect() if hello else self.socket() as session:
            if not session.send_raw(data, fds):
                return
            self.assertEqual(self.expect_bye(session, code), [], data)

    def test_other_descriptors_than_the_frame_says(self):
        with self.leaves_nothing() as fd:
            for count, data in ((0, PUB1), (0, PUB2), (1, PUB2), (2, PUB1), (3, PUB2), (17, PUB1),
                                (1, encode([F.PUB, 0, "a.b", {}, b""])),
                                (0, encode([F.PUB, 1, "a.b", {}, 5])),
                                (2, encode([F.PUB, 1, "a.b", {}, 5])),
                                (2, encode([F.BEGIN, 1, "a.b", {}, 5])),
                                (0, encode([F.BEGIN, 1, "a.b", {}, 5]))):
                self.ends(Code.DESCRIPTORS, data, [fd() for _ in range(count)])

    def test_more_than_any_message_has(self):
        with self.leaves_nothing() as fd:
            # A stream's packet is not taken any further than to its 17th.
            code = Code.PROTOCOL if harness.KIND == "stream" else Code.DESCRIPTORS
            for count in (18, 19, 100, 253):
                self.ends(code, PUB1, [fd() for _ in range(count)])

    def test_counts_that_no_message_has(self):
        for count, payload in ((17, b""), (18, 5), (2**32, b""), (0, 5)):
            with self.leaves_nothing() as fd:
                self.ends(Code.PROTOCOL, encode([F.PUB, count, "a.b", {}, payload]),
                          [fd() for _ in range(min(count, 17))])

    def test_descriptors_without_a_publication_or_with_too_much_beside_it(self):
        ping, ingress = encode([F.PING, 1]), encode([F.INGRESS, 1, 1])
        with self.leaves_nothing() as fd:
            for data in (ping, encode([0x40]), encode([F.CHUNK, b"x"]), encode([F.END, 0]),
                         encode([F.SUB, 1, 1, "x"]), ingress, PUB1 + PUB1, PUB1 + ping, ping + PUB1,
                         PUB1 + ingress, ingress + ingress + PUB1, encode([0x30]) + PUB1,
                         PUB1 + encode([F.PUB, 0, "a.b", {}, b""])):
                with self.connect() as session:
                    session.send_raw(data, [fd()])
                    (*before, bye), = [list(session)]
                    self.assertIn(bye.code, (Code.DESCRIPTORS, Code.PROTOCOL), data)
                    self.assertEqual(before, [], data)

    def test_ignorable_frames_and_one_header_may_stand_beside_it(self):
        ignorable = encode([0x55, "more"])
        packet = ignorable + encode([F.INGRESS, 1, 1]) + ignorable + PUB1 + ignorable
        with self.leaves_nothing() as fd, self.connect() as session:
            session.send_raw(packet, [fd()])
            self.assertEqual(session.answer(1).value, 1)
            close_fds(self.receiver.take(is_delivery).fds)

    def test_packets_that_are_malformed_or_too_long(self):
        with self.leaves_nothing() as fd:
            for data in (b"\xc1", PUB1[:-1], PUB1 + b"\xc1", b"\x90" + PUB1, PUB1 + bytes(65536),
                         b"\xdd\xff\xff\xff\xff"):
                self.ends(Code.PROTOCOL, data, [fd()])

    def test_before_hello_and_with_it(self):
        hello = encode([F.HELLO, 1, "x", 1, {}])
        with self.leaves_nothing() as fd:
            for data in (hello, PUB1, b"\xc1"):
                try:
                    self.ends(Code.PROTOCOL, data, [fd()], hello=False)
                except PermissionError:         # the kernel has refused them for the broker
                    pass


class Gone(FdTest):
    """Somebody leaves while descriptors are on their way."""

    limits = {"queue_fds": 32}

    def fill(self, fd, count=40):
        """Publish 4 descriptors each: some are under way, some queued, some parked. How many."""
        sent = 0
        cost = len(encode([F.PUB, 4, "a.b", {}, b""])) + 4 * 4096
        while sent < count and self.publisher.window.left >= cost:
            self.publisher.publish("a.b", fds=[fd() for _ in range(4)])
            sent += 1
        sync(self.publisher)
        report = self.broker.status()
        self.assertGreater(report["descriptors_in_flight"], 0)
        self.assertGreater(report["queued"], 0)
        self.assertGreater(report["parked"], 0)
        return sent

    def replace(self, session, *filters):
        """A new session for one that has ended."""
        session.close()
        new = self.connect()
        if filters:
            subscribe(new, *filters, max_fds=16)
        return new

    def test_the_receiver_closes(self):
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing() as fd:
            self.fill(fd)
            self.receiver = self.replace(self.receiver, "a.>")

    def test_the_receiver_is_killed(self):
        def receive(child):
            session = self.connect()
            subscribe(session, "k.>", max_fds=16)
            session.take(is_delivery)               # it has some itself, too
            child.say("has one")
            child.hear()

        with self.leaves_nothing() as fd:
            child = self.fork(receive)
            self.broker.wait_status(lambda report: report["subscriptions"] == 2)
            for _ in range(25):
                self.publisher.publish("k.x", fds=[fd()])
            self.assertEqual(child.hear(), "has one")
            child.signal(signal.SIGKILL)
            child.end(-signal.SIGKILL)

    def test_the_publisher_closes_and_what_it_had_sent_arrives(self):
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing() as fd:
            sent = self.fill(fd)
            self.publisher = self.replace(self.publisher)
            for _ in range(sent):
                delivery = self.receiver.take(is_delivery)
                self.assertEqual(len(delivery.fds), 4)
                close_fds(delivery.fds)
                self.receiver.credit(2, 0, 1)

    def test_both_close(self):
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing() as fd:
            self.fill(fd)
            self.publisher = self.replace(self.publisher)
            self.receiver = self.replace(self.receiver, "a.>")

    def test_the_receiver_unsubscribes(self):
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing() as fd:
            self.fill(fd)
            self.receiver.answer(self.receiver.unsub(1))
            while (report := self.broker.status())["queued"] or report["descriptors_in_flight"]:
                close_fds(self.receiver.take(is_delivery).fds)
                self.receiver.credit(2, 0, 1)

    def test_the_receiver_leaves_in_order(self):
        with self.leaves_nothing() as fd:
            for _ in range(10):
                self.publisher.publish("a.b", fds=[fd()])
            sync(self.publisher)
            self.receiver.bye()
            for event in self.expect_bye(self.receiver, Code.NONE):
                close_fds(event.fds)
            self.receiver = self.replace(self.receiver, "a.>")

    def test_a_session_with_an_unfinished_publication_closes(self):
        with self.leaves_nothing() as fd:
            with self.connect() as session:
                session.send_frames([F.BEGIN, 3, "a.b", {}, 0], fds=[fd() for _ in range(3)])
                for _ in range(3):
                    session.send_frames([F.CHUNK, bytes(60000)])
                sync(session)

    def test_the_broker_stops(self):
        self.receiver.auto_fd_credit = False
        witnesses = [Witness() for _ in range(20)]
        for witness in witnesses:
            self.addCleanup(witness.close)
            self.publisher.publish("a.b", fds=[witness.fd])
        sync(self.publisher)
        self.broker.process.signal(signal.SIGTERM)
        self.broker.process.wait_line("broker: stopping", "err")
        while (event := self.receiver.next_event()) is not None:
            if is_delivery(event):
                close_fds(event.fds)
                send_packet(self.receiver.sock, encode([F.CREDIT, 2, 0, 1]))
        self.assertEqual(self.receiver.bye_received.code, Code.SHUTDOWN)
        self.assertEqual(self.broker.process.wait(), 0)
        for witness in witnesses:
            witness.wait_gone()

    def test_its_own_connection_is_sent_through_the_broker_and_never_received(self):
        """The kernel collects sockets that are on their way to themselves, whenever one closes."""
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing():
            witness = self.witness()
            with self.connect() as session, socket.socket() as other:
                self.publisher.publish("a.b", fds=[session.sock.fileno(), other.fileno(),
                                                   self.receiver.sock.fileno(), witness.fd])
                sync(self.publisher)
            self.receiver = self.replace(self.receiver, "a.>")
            eventually(lambda: self.connect().close() or witness.is_gone(), "it is collected")


class Hung(FdTest):
    """To close one of them takes for ever: here a TCP connection that lingers over unsent bytes."""

    def setUp(self):
        super().setUp()
        self.before = self.broker.count_fds()
        self.exchange(100)
        eventually(lambda: self.broker.count_fds() == self.before, "all are closed")
        lingerers = Lingering()
        self.addCleanup(lingerers.close)            # which ends it
        lingering = lingerers.connect()
        self.broker.pause()
        self.publisher.publish("unknown", fds=[lingering.fileno()])
        lingering.close()                           # the broker has the last of it
        self.broker.go_on()
        sync(self.publisher)

    def exchange(self, count):
        (fd,) = self.files(1)
        for _ in range(count):
            self.assertEqual(confirmed(self.publisher, "a.b", fds=[fd] * 16), 1)
            close_fds(self.receiver.take(is_delivery).fds)

    def test_it_keeps_no_other_descriptor_open(self):
        self.exchange(100)
        eventually(lambda: self.broker.count_fds() == self.before, "all others are closed")

    def test_it_slows_nobody(self):
        begin = time.monotonic()
        self.exchange(2000)
        self.assertLess(time.monotonic() - begin, 10)   # a tenth of it is usual

    def test_it_does_not_keep_the_broker_from_ending(self):
        self.broker.stop()


if __name__ == "__main__":
    harness.main()
