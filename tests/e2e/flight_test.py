"""Receivers that never read, against the kernel's own limit: as many descriptors as RLIMIT_NOFILE
says may be on their way for one user, and beyond it (ETOOMANYREFS) nobody is sent any more. Root is
exempt, so here the broker runs as another user.
"""

import os
import resource
import socket

import uid_case
from child import eventually
from uid_case import OWN_USER, OtherUid, become
from wire_case import confirmed, is_delivery, status, subscribe, sync
from wire_codec import Code, Err, Frame as F
from wire_payload import sealed_memfd
from wire_socket import close_fds, send_packet

MOST = 200                      # RLIMIT_NOFILE; the broker's budget (flight_fds) is half of it
STALL_MS = 600


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))


class FlightTest(OtherUid):
    limits = {}

    def setUp(self):
        super().setUp()
        self.broker = self.serve_as(OWN_USER, self.open_name, before=few_files, limits=self.limits)
        self.publisher = self.open("publisher")
        self.reader = self.open("reader")
        subscribe(self.reader, "read.*", max_fds=16)
        self.fds = [os.memfd_create(f"file {number}", os.MFD_CLOEXEC) for number in range(16)]
        self.addCleanup(close_fds, self.fds)

    def open(self, name):
        """A session of root, which this broker serves too."""
        return self.connect(self.name, name=name, broker_uid=OWN_USER)

    def lazy(self, count, max_fds=16):
        """Sessions that subscribe and never read, nor say that they have."""
        sessions = [self.open(f"lazy {number}") for number in range(count)]
        for session in sessions:
            subscribe(session, "lazy.*", max_fds=max_fds)
            session.auto_fd_credit = False
        return sessions

    def burden(self, count):
        """Publish so many messages for them; the first has gone to all before the second comes."""
        for _ in range(count):
            self.publisher.publish("lazy.x", fds=self.fds)
            sync(self.publisher)

    def in_flight(self):
        """What the broker thinks is on its way, the reader having said that it has all."""
        sync(self.reader)
        return status(self.publisher)["descriptors_in_flight"]

    def exchange(self, count=1, fds=None):
        """The reader goes on getting its own, all of it."""
        for number in range(count):
            fds = self.fds[:1 + number % 16] if fds is None else fds
            self.publisher.publish("read.x", b"%d" % number, fds=fds)
            delivery = self.reader.take(is_delivery)
            self.assertEqual((delivery.payload, len(delivery.fds), delivery.withheld),
                             (b"%d" % number, len(fds), 0))
            close_fds(delivery.fds)

    def no_errors(self, session):
        """It was told nothing bad."""
        sync(session)
        self.assertEqual([event for event in session.pending() if isinstance(event, Err)], [])

    def wait_ms(self, milliseconds):
        """A request that nobody answers takes as long as the broker's clock says."""
        mute = self.open("mute")
        subscribe(mute, "mute")
        request = self.publisher.request("mute", timeout_ms=milliseconds)
        self.expect_err(self.publisher.answer(request), Code.TIMEOUT)
        mute.close()


class LongStall(FlightTest):
    limits = {"stall_ms": 60000}

    def test_lazy_receivers_take_no_more_than_the_budget_and_the_reader_goes_on(self):
        lazy = self.lazy(5)
        self.burden(3)
        self.exchange(100)
        # One packet each, and then as many as fit the budget.
        self.assertEqual(self.in_flight(), MOST // 2 // 16 * 16)
        self.no_errors(self.publisher)
        for session in lazy:                    # what each got is whole, and nothing is missing
            for number in range(3):
                delivery = session.take(is_delivery)
                self.assertEqual((delivery.seq, len(delivery.fds)), (number + 1, 16))
                close_fds(delivery.fds)
                session.credit(2, 0, 1)
        eventually(lambda: self.in_flight() == 0, "all of it is received")

    def test_who_takes_placed_payloads_alone_counts_too(self):
        lazy = self.lazy(7, max_fds=0)
        payload = sealed_memfd(b"placed")
        self.addCleanup(os.close, payload)
        for _ in range(20):
            self.publisher.send_frames([F.PUB, 1, "lazy.x", {}, 6], fds=[payload])
        self.exchange(10)
        self.assertEqual(self.in_flight(), MOST // 2)
        for session in lazy:
            for _ in range(20):
                self.assertEqual(session.take(is_delivery).payload, b"placed")
                session.credit(2, 0, 1)
        self.no_errors(self.publisher)

    def test_a_lazy_one_that_closes_frees_what_was_on_its_way(self):
        lazy = self.lazy(6)
        self.burden(3)
        self.assertEqual(self.in_flight(), 96)
        for session in lazy[:5]:
            session.close()
        eventually(lambda: self.in_flight() == 48, "the last one has all three")
        self.exchange(20)

    def test_plain_messages_of_the_others_do_not_wait(self):
        lazy = self.lazy(12)                    # at one packet each, nearly all the kernel allows
        plain = self.open("plain")
        subscribe(plain, "plain")
        self.burden(2)
        for _ in range(100):
            self.assertEqual(confirmed(self.publisher, "plain", b"x"), 1)
            self.assertEqual(plain.take(is_delivery).payload, b"x")
        self.assertEqual(self.in_flight(), 12 * 16)
        for session in lazy:
            session.close()


class ShortStall(FlightTest):
    limits = {"stall_ms": STALL_MS}

    def are_ended(self, sessions):
        """Each gets whole messages and then BYE; when it has closed, the kernel counts no more."""
        eventually(lambda: status(self.publisher)["sessions"] == 2, "the lazy ones are ended")
        for session in sessions:
            for event in self.expect_bye(session, Code.STALLED, "stall_ms"):
                self.assertEqual((len(event.fds), event.withheld), (16, 0))
                close_fds(event.fds)
            session.close()

    def test_who_keeps_others_waiting_is_ended(self):
        lazy = self.lazy(8)                     # all are sent one message, none a second one
        self.burden(2)
        self.exchange(30)
        self.are_ended(lazy)
        self.exchange(30)
        self.no_errors(self.publisher)
        self.assertEqual(self.in_flight(), 0)

    def test_beyond_what_the_kernel_allows_who_reads_waits_until_the_lazy_are_gone(self):
        lazy = self.lazy(13)                    # to them all that it allows is on its way
        self.burden(1)
        self.publisher.publish("read.x", b"0", fds=self.fds)
        self.are_ended(lazy)
        delivery = self.reader.take(is_delivery)
        self.assertEqual((delivery.payload, len(delivery.fds), delivery.withheld), (b"0", 16, 0))
        close_fds(delivery.fds)
        self.exchange(30)
        self.no_errors(self.publisher)

    def test_who_keeps_nobody_waiting_stays(self):
        (lazy,) = self.lazy(1)
        for _ in range(16):
            self.publisher.publish("lazy.x", fds=self.fds[:1])
        self.wait_ms(3 * STALL_MS)
        self.exchange(10)
        for _ in range(16):
            close_fds(lazy.take(is_delivery).fds)
            lazy.credit(2, 0, 1)
        sync(lazy)

    def test_who_reads_slowly_but_does_is_not_ended(self):
        slow, lazy = self.open("slow"), self.lazy(8)
        subscribe(slow, "lazy.*", max_fds=16)
        self.burden(4)
        for _ in range(4):
            delivery = slow.take(is_delivery)
            self.assertEqual(len(delivery.fds), 16)
            close_fds(delivery.fds)
            self.wait_ms(STALL_MS // 6)
        sync(slow)
        for session in lazy:
            session.close()


class Hoarder(FlightTest):
    """Another process of the broker's user uses up what the kernel allows it."""

    def hoard(self, child):
        few_files()
        become(OWN_USER)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            while True:
                send_packet(left, b"x", self.fds[:1] * 100)
        except OSError as error:
            child.say(os.strerror(error.errno))
        child.hear()
        left.close()
        right.close()                           # with all that nobody has received
        child.say("gone")
        child.hear()

    def hoarder(self):
        child = self.fork(self.hoard)
        self.assertEqual(child.hear(), "Too many references: cannot splice")
        return child

    def release(self, child):
        """It lets go of all of them."""
        child.say("go")
        self.assertEqual(child.hear(), "gone")
        child.say("end")
        child.end()


class LongHoarder(Hoarder):
    limits = {"stall_ms": 60000}

    def test_messages_wait_for_their_descriptors_and_nobody_sees_an_error(self):
        child = self.hoarder()
        other = self.open("other")
        subscribe(other, "plain")
        self.publisher.publish("read.x", b"first", fds=self.fds)
        self.publisher.publish("read.x", b"second")
        self.assertEqual(confirmed(self.publisher, "plain", b"!"), 1)
        self.assertEqual(other.take(is_delivery).payload, b"!")
        self.release(child)
        first, second = self.reader.take(is_delivery), self.reader.take(is_delivery)
        self.assertEqual((first.payload, len(first.fds), second.payload), (b"first", 16, b"second"))
        close_fds(first.fds)
        self.no_errors(self.publisher)


class ShortHoarder(Hoarder):
    limits = {"stall_ms": STALL_MS}

    def test_when_there_are_none_for_stall_ms_it_goes_without_and_its_sender_is_told(self):
        child = self.hoarder()
        self.publisher.publish("read.x", b"first", fds=self.fds)
        self.publisher.publish("read.x", b"second")
        first, second = self.reader.take(is_delivery), self.reader.take(is_delivery)
        self.assertEqual((first.payload, first.fds, first.withheld), (b"first", [], 16))
        self.assertEqual(second.payload, b"second")
        told = self.publisher.take(lambda event: isinstance(event, Err))
        self.assertEqual((told.id, Code(told.code)), (0, Code.DESCRIPTORS))
        self.release(child)
        self.exchange(5)

    def test_a_placed_payload_comes_in_chunks_then_and_nothing_is_lost(self):
        child = self.hoarder()
        payload = bytes(range(256)) * 1000
        self.publisher.publish("read.x", payload, form="placed")
        delivery = self.reader.take(is_delivery)
        self.assertEqual((delivery.payload == payload, delivery.form), (True, "chunked"))
        self.no_errors(self.publisher)
        self.release(child)
        self.publisher.publish("read.x", payload, form="placed")
        self.assertEqual(self.reader.take(is_delivery).payload, payload)


if __name__ == "__main__":
    uid_case.main()
