"""Frames that are right in themselves and sent in bad faith, by a stranger (T10, T13, T19, T21).

The bystanders of attack_case notice nothing of it.
"""

import os
import select
import signal
import socket

import uid_case
from attack_case import MANY, AttackCase
from uid_case import NOBODY
from wire_case import confirmed, sync
from wire_codec import Bye, Code, Err, Frame as F, Gap, Ok, encode

HELLO = encode([F.HELLO, 1, "attacker", 1, {}])
WELCOME = encode([F.WELCOME, 1, 7, bytes(16), "me", 1, 255, 1 << 20, {}, {}])
SUB = encode([F.SUB, 1, 1, "a.b", {}])
PUB = encode([F.PUB, 0, "a.b", {}, b""])
PING = encode([F.PING, 1])


def subscribe_dropping(session, number, text, **options):
    """As who may not block is answered."""
    assert session.answer(session.sub(number, text, **options)).value == 1


class Handshakes(AttackCase):
    def test_handshakes_that_are_none_end_the_session(self):
        self.begin(MANY)
        before = (WELCOME, SUB, PUB, PING, HELLO + HELLO, HELLO + SUB, HELLO + b"\xc1",
                  PING + HELLO, encode([F.BYE, 0, ""]), encode([F.PONG, 1]), encode([F.OK, 1, 1]),
                  encode([F.CREDIT, 0, 0, 1]), encode([0x40]), encode([0x40]) + HELLO,
                  encode([F.HELLO, 1, "n" * 65, 1, {}]), encode([F.HELLO, 1, "a\nb", 1, {}]),
                  encode([F.HELLO, 1, b"bin", 1, {}]), encode([F.HELLO, "1", "n", 1, {}]),
                  encode([F.HELLO, 1, "\udcff", 1, {}]), encode([F.HELLO, 1]), encode([F.HELLO]))
        after = (HELLO, WELCOME, SUB + HELLO, encode([F.RIGHTS, 255]), encode([F.OK, 1, 1]),
                 encode([F.ERR, 1, 1, "no"]), encode([F.GAP, 1, 1, 1, 1]),
                 encode([F.DELIVERY, 1, 1, 1, 0, 0, [1]]) + PUB, encode([F.CREDIT, 0, 0, 1]),
                 encode([F.CREDIT, 3, 0, 1]), encode([F.CHUNK, b"x"]), encode([F.END, 0]),
                 encode([F.REPLY, 1]), encode([F.REQUEST, 1, 0]), SUB + SUB,
                 encode([F.SUB, 0, 1, "a", {}]), encode([F.SUB, 1 << 63, 1, "a", {}]))

        def act():
            for address in (self.name, self.stream):
                for data in before:
                    session = self.socket(address)
                    session.send_raw(data)
                    self.expect_bye(session, Code.PROTOCOL)
                    session.close()
                for data in after:
                    session = self.connect(address)
                    session.send_raw(data)
                    self.expect_bye(session, Code.PROTOCOL)
                    session.close()
                session = self.socket(address)
                session.send_raw(encode([F.HELLO, 0, "old", 1, {}]))
                self.expect_bye(session, Code.VERSION)

        self.attack(act)
        self.peace()

    def test_what_was_sent_without_waiting_for_welcome_is_read_in_its_order(self):
        self.begin()

        def act():
            session = self.socket(self.name)
            for data in (HELLO, SUB, PING, HELLO):
                session.send_raw(data)
            kinds = [type(event).__name__ for event in session]
            self.assertEqual(kinds, ["Welcome", "Ok", "Pong", "Bye"])

        self.attack(act)
        self.peace()


class HalfOpen(AttackCase):
    def test_who_closes_one_direction_is_served_in_the_other_or_gone(self):
        self.begin(MANY)

        def act():
            for address in (self.name, self.stream):
                for how in (socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR):
                    for session in (self.socket(address), self.connect(address)):
                        if session.state == "open":
                            subscribe_dropping(session, 1, "a.b")
                            session.send_raw(PUB * 500)
                        session.sock.shutdown(how)
                        if how == socket.SHUT_WR:
                            list(session)           # all it was owed, and the end
                        elif how == socket.SHUT_RD:
                            for _ in range(50):     # heard, but never answered
                                session.send_raw(PUB + PING)
                        session.close()

        self.attack(act)
        self.peace(may_be=("control_bytes",))

    def test_who_never_reads_answers_is_ended(self):
        self.begin(MANY, control_bytes=8192)

        def act():
            for address in (self.name, self.stream):
                session = self.connect(address)
                while session.send_raw(PING * 1000):
                    pass
                self.expect_bye(session, Code.STALLED, "control_bytes")
                session.close()

        self.attack(act)
        self.peace("control_bytes")

    def test_who_never_reads_publications_loses_them_and_nobody_else(self):
        self.begin()

        def act(child):
            lazy, busy = self.connect(self.name), self.connect(self.name)
            subscribe_dropping(lazy, 1, "bystander.>")      # theirs too
            subscribe_dropping(lazy, 2, "own", queue_messages=3)
            for _ in range(3000):
                busy.publish("own", bytes(1000))
            sync(busy)
            child.say("full")
            child.hear()
            sync(busy)
            sync(lazy)
            self.assertTrue(any(isinstance(event, Gap) for event in lazy.pending()))

        child = self.as_user(NOBODY, act)
        child.hear()
        self.assertGreater(self.broker.status()["dropped"], 0)
        child.say("go")
        child.end()
        self.peace()

    def test_bye_and_no_close_and_bye_and_no_reading(self):
        self.begin(drain_ms=300)

        def act(child):
            polite, deaf = self.connect(self.name), self.connect(self.name)
            subscribe_dropping(deaf, 1, "own")
            for _ in range(1000):
                deaf.publish("own", bytes(900))
            for session in (polite, deaf):
                session.bye()
            self.assertEqual(polite.next_event(), Bye(0, ""))
            child.say("said")
            child.hear()        # both are open on this side all the time
            self.expect_bye(deaf, Code.STALLED, "drain_ms")

        child = self.as_user(NOBODY, act)
        child.hear()
        self.broker.wait_status(lambda report: not [
            row for row in report["uids"] if row["uid"] == NOBODY and row["sessions"]], "end")
        child.say("go")
        child.end()
        self.peace("drain_ms")

    def test_a_stopped_process_with_sixty_sessions_is_nobody_elses_matter(self):
        self.begin(MANY)

        def act(child):
            sessions = [self.connect(self.name) for _ in range(60)]
            for session in sessions:
                subscribe_dropping(session, 1, "bystander.>", queue_messages=5)
            child.say("ready")
            os.kill(os.getpid(), signal.SIGSTOP)

        child = self.as_user(NOBODY, act)
        child.hear()
        child.wait_stopped()
        self.bystander_goes_on()
        child.signal(signal.SIGCONT)
        child.end()
        self.peace(may_be=("uid_queue_bytes", "stall_ms"))


class Uploads(AttackCase):
    def test_what_is_begun_and_never_ended_is_given_up(self):
        self.begin(stall_ms=400)

        def act(child):
            session = self.connect(self.name)
            read_end, write_end = os.pipe()
            begun = session.new_ids()
            session.send_frames([F.INGRESS, 1, begun], [F.BEGIN, 2, "a.b", {}, 1 << 29],
                                fds=[write_end, write_end])
            os.close(write_end)
            for _ in range(20):
                session.send_frames([F.CHUNK, bytes(60000)])
            child.say("begun")
            self.expect_err(session.answer(begun), Code.LIMIT, "stall_ms")
            self.assertTrue(select.select([read_end], [], [], 20)[0])
            session.send_frames([F.CHUNK, bytes(60000)])        # skipped
            session.send_frames([F.END, 1])
            self.assertEqual(confirmed(session, "a.b", bytes(100000)), 0)
            session.send_frames([F.BEGIN, 0, "a.b", {}, 0])     # and gone with its session

        child = self.as_user(NOBODY, act)
        child.hear()
        child.end()
        self.peace("stall_ms")

    def test_a_thousand_begun_by_many_sessions_stay_within_the_uids_share(self):
        self.begin(MANY + "uid_spool_bytes = 1000000\n")

        def act():
            sessions = [self.connect(self.name) for _ in range(40)]
            refused = 0
            for session in sessions:
                begun = session.new_ids()
                session.send_frames([F.INGRESS, 1, begun], [F.BEGIN, 0, "a.b", {}, 1 << 29])
                for _ in range(5):
                    session.send_frames([F.CHUNK, bytes(60000)])
                sync(session)
                refused += any(isinstance(event, Err) and event.limit == "uid_spool_bytes"
                               for event in session.pending())
            self.assertGreater(refused, 20)

        self.attack(act)
        self.peace("uid_spool_bytes")


class Floods(AttackCase):
    def test_frames_that_mean_nothing_are_ignored_by_the_ten_thousand(self):
        self.begin(linger_ms=50)
        most = (1 << 64) - 1
        frames = (
            [F.ACK, 0, most], [F.ACK, most, most], [F.NACK, 0, most, most], [F.CANCEL, most >> 1],
            [F.PONG, most], [F.CREDIT, 1, 7, 1 << 62], [F.CREDIT, 2, 0, 1 << 62], [0x7f, most])

        def act():
            session = self.connect(self.name)
            self.assertIsInstance(session.answer(session.sub(
                1, "work.>", group="g", ack=True, window=1)), Ok)
            for frame in frames:
                for _ in range(20):
                    session.send_raw(encode(frame) * 1000)
                sync(session)
            self.assertFalse([event for event in session.pending() if isinstance(event, Err)])
            for lie in ([F.CREDIT, 2, 0, most], [F.ACK, 2, 1], [F.CREDIT, 1, 1, most]):
                liar = self.connect(self.name)
                liar.sub(1, "work.>", group="g", ack=True, window=1)
                liar.send_raw(encode(lie))
                self.expect_bye(liar, Code.PROTOCOL)

        self.attack(act)
        self.peace()

    def test_pings_that_are_answered_cost_nobody_else_anything(self):
        self.begin()

        def act():
            session = self.connect(self.name)
            for _ in range(100):
                session.send_raw(PING * 1000)
                for _ in range(1000):
                    session.next_event()

        self.attack(act)
        self.peace()

    def test_subscriptions_that_come_and_go_leave_nothing(self):
        self.begin()

        def act():
            session = self.connect(self.name)
            number = 0
            for _ in range(40):
                answers = []
                for _ in range(50):
                    number += 1
                    answers += [session.sub(number, f"churn.*.{number}.>"), session.unsub(number)]
                for asked in answers:
                    self.assertIsInstance(session.answer(asked), Ok)

        self.attack(act)
        self.peace()

    def test_requests_that_nobody_answers_and_replies_that_nobody_asked_for(self):
        self.begin()

        def act():
            session, silent = self.connect(self.name), self.connect(self.name)
            for _ in range(20):
                asked = [session.request("nobody.there") for _ in range(500)]
                for number in asked:
                    self.expect_err(session.answer(number), Code.NO_RESPONDERS)
            subscribe_dropping(silent, 1, "silent")
            asked = [session.request("silent", timeout_ms=60000) for _ in range(100)]
            for token in (0, 1, 2, 1 << 32, 1 << 33, (1 << 64) - 1, *range(1000, 2000)):
                reply = session.new_ids()
                session.send_frames([F.REPLY, token, 0, reply], [F.PUB, 0, "", {}, b"guessed"])
                self.expect_err(session.answer(reply), Code.BAD_TOKEN)
            for token in range(1 << 32, (1 << 32) + 2000):
                session.send_raw(encode([F.REPLY, token]) + encode([F.PUB, 0, "", {}, b"guessed"]))
            sync(session)
            for number in asked:
                session.cancel(number)
                self.expect_err(session.answer(number), Code.CANCELLED)

        self.attack(act)
        self.peace()


if __name__ == "__main__":
    uid_case.main()
