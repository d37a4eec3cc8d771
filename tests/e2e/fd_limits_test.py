"""A broker that may not open many descriptors: who sends too many is told, and nobody else notices.

With RLIMIT_NOFILE 200 a broker keeps 68 descriptors of messages (limit held_fds).
"""

import os
import resource
import signal

import uid_case
from fd_case import FdMixin
from uid_case import OWN_USER, OtherUid
from wire_case import confirmed, is_delivery, subscribe, sync, take_payloads
from wire_codec import Code, Err, Frame as F, Ok
from wire_socket import close_fds

MOST = 200
HELD = 68


class FewBroker(OtherUid):
    """The kernel has a limit of its own, for all that a user has on its way: hence another user."""

    def setUp(self):
        super().setUp()
        self.broker = self.serve_as(OWN_USER, self.open_name, before=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (MOST, MOST)))

    def connect(self):
        return super().connect(self.name, broker_uid=OWN_USER)


class FewDescriptors(FdMixin, FewBroker):
    def setUp(self):
        super().setUp()
        self.victims = self.connect(), self.connect()
        subscribe(self.victims[1], "victim.*", max_fds=16)

    def exchange(self, fds=()):
        """Two others have no part in it: their message arrives."""
        publisher, receiver = self.victims
        self.assertEqual(confirmed(publisher, "victim.x", b"!", fds=fds), 1)
        delivery = receiver.take(is_delivery)
        self.assertEqual((delivery.payload, len(delivery.fds)), (b"!", len(fds)))
        close_fds(delivery.fds)


class Held(FewDescriptors):
    def test_who_reaches_held_fds_is_told_and_nobody_else_notices(self):
        self.assertIn(f"limit sessions is {HELD}, as RLIMIT_NOFILE is {MOST}", self.broker.said())
        self.receiver.auto_fd_credit = False
        with self.leaves_nothing() as fd:
            taken = 0
            while not isinstance(answer := confirmed(
                    self.publisher, "a.b", b"%d" % taken, fds=[fd() for _ in range(16)]), Err):
                self.assertEqual(answer, 1)
                taken += 1
            self.expect_err(answer, Code.LIMIT, "held_fds")
            # 64 are under way to the receiver, and as many as may be are kept.
            self.assertEqual(taken, 4 + HELD // 16)
            self.assertEqual(self.broker.status()["descriptors"], HELD // 16 * 16)
            for _ in range(20):
                self.exchange()
                self.connect().close()
            self.assertEqual(confirmed(self.publisher, "a.b", b"plain"), 1)
            for number in range(taken):
                delivery = self.receiver.take(is_delivery)
                self.assertEqual((delivery.payload, len(delivery.fds)), (b"%d" % number, 16))
                close_fds(delivery.fds)
                self.receiver.credit(2, 0, 1)
            self.assertEqual(take_payloads(self.receiver, 1), [b"plain"])
        (fd,) = self.files(1)
        for _ in range(20):
            self.exchange([fd] * 16)

    def test_a_burst_is_never_cut_short(self):
        """Each message of it is taken, or refused with the limit's name; the session goes on."""
        fds = self.files(16)
        for topic in ("a.b", "unknown"):
            publisher = self.connect()              # with a window of its own
            self.broker.pause()
            ids = [publisher.publish(topic, confirm=True, fds=fds) for _ in range(14)]
            self.victims[0].publish("victim.x", b"!", fds=fds[:1])
            self.broker.go_on()
            for answer in [publisher.answer(request_id) for request_id in ids]:
                if not isinstance(answer, Ok):
                    self.expect_err(answer, Code.LIMIT, "held_fds")
            delivery = self.victims[1].take(is_delivery)
            self.assertEqual(len(delivery.fds), 1)
            close_fds(delivery.fds)

    def test_bursts_of_many_cut_nobody_short(self):
        fds = self.files(16)
        others = [self.connect() for _ in range(6)]
        self.broker.pause()
        for session in others:
            for _ in range(3):
                session.publish("unknown", fds=fds)
        self.victims[0].publish("victim.x", b"!", fds=fds[:1])
        self.broker.go_on()
        delivery = self.victims[1].take(is_delivery)
        self.assertEqual(len(delivery.fds), 1)
        close_fds(delivery.fds)
        for session in others:
            sync(session)

    def test_a_flood_of_them_to_nobody_hurts_nobody(self):
        def flood(child):
            session = self.connect()
            ends = os.pipe()
            child.say("ready")
            while True:
                session.publish("nobody", fds=[ends[0]] * 16)

        with self.leaves_nothing():
            children = [self.fork(flood) for _ in range(2)]
            for child in children:
                child.hear()
            (fd,) = self.files(1)
            for _ in range(200):
                self.exchange([fd])
            for child in children:
                child.signal(signal.SIGKILL)
                child.end(-signal.SIGKILL)          # who floods is not ended either


class Unfinished(FewDescriptors):
    """Descriptors of publications whose END has not come yet."""

    def test_they_count_too(self):
        with self.leaves_nothing() as fd:
            hoarders = [self.connect() for _ in range(12)]
            for session in hoarders:
                session.send_frames([F.INGRESS, 1, session.new_ids()], [F.BEGIN, 16, "a.b", {}, 0],
                                    fds=[fd() for _ in range(16)])
                sync(session)
            errors = [event for session in hoarders for event in session.pending()
                      if isinstance(event, Err)]
            for error in errors:
                self.expect_err(error, Code.LIMIT, "held_fds")
            self.assertEqual(len(errors), 12 - HELD // 16)
            for _ in range(20):
                self.exchange()
                self.connect().close()
            self.assertLess(self.broker.count_fds(), MOST // 2 + 30)
            for session in hoarders:
                session.close()

    def test_nobody_else_is_hurt_by_them(self):
        (fd,) = self.files(1)
        hoarders = [self.connect() for _ in range(12)]
        self.broker.pause()
        for session in hoarders:
            session.send_frames([F.BEGIN, 16, "a.b", {}, 0], fds=[fd] * 16)
        self.victims[0].publish("victim.x", b"!", fds=[fd])
        self.broker.go_on()
        delivery = self.victims[1].take(is_delivery)
        self.assertEqual(len(delivery.fds), 1)
        close_fds(delivery.fds)
        for _ in range(20):
            self.exchange([fd])
            self.connect().close()
        for session in hoarders:
            session.close()

    def test_collected_payloads_cost_a_descriptor_each_and_are_given_back(self):
        with self.leaves_nothing():
            sessions = [self.connect() for _ in range(40)]
            for session in sessions:
                session.send_frames([F.BEGIN, 0, "a.b", {}, 0])
                for _ in range(2):
                    session.send_frames([F.CHUNK, bytes(60000)])
                sync(session)
            self.exchange()
            for session in sessions:
                session.close()


if __name__ == "__main__":
    uid_case.main()
