"""Connections by the thousand (T8, T9, T22): within the limits of one uid, and with high ones.

The bystanders of attack_case notice nothing of it.
"""

import resource
import time

import uid_case
from attack_case import MANY, AttackCase
from uid_case import NOBODY
from wire_case import sync
from wire_codec import Code

PROCESSES = 4
# Descriptors that the broker may have: it keeps half of them for those of messages.
ROOM = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 24000)
MOST = min(10000, ROOM // 2 - 100)


def allow_descriptors():
    """Before a broker starts, and for its attackers."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (ROOM, ROOM))


class Flood(AttackCase):
    def test_connections_are_as_many_as_the_uid_may_have(self):
        self.begin(MANY)

        def act():
            sessions = [self.connect(self.name) for _ in range(64)]
            for _ in range(300):
                refused = self.socket(self.name)
                self.expect_bye(refused, Code.LIMIT, "uid_sessions")
                refused.close()
            sync(sessions[0])

        self.attack(act)
        self.peace("uid_sessions")

    def test_connections_that_say_nothing_are_fewer(self):
        self.begin(MANY)

        def act():
            silent = [self.socket(self.name) for _ in range(16)]
            self.expect_bye(self.socket(self.name), Code.LIMIT, "uid_unready")  # all are known
            for address in (self.name, self.stream) * 150:
                refused = self.socket(address)
                self.expect_bye(refused, Code.LIMIT, "uid_unready")
                refused.close()
            silent[0].hello("late")
            sync(silent[0])

        self.attack(act)
        self.peace("uid_unready")

    def test_connections_that_come_and_go_are_so_many_a_second(self):
        self.begin()

        def act():
            begin, served, refused = time.monotonic(), 0, 0
            while refused < 300:
                session = self.socket(self.name)
                session.send_raw(b"\x95\x01\x01\xa1x\x00\x80")
                answer = session.next_event()
                if hasattr(answer, "version"):
                    served += 1
                else:
                    self.assertIn("uid_connects", answer.text)
                    refused += 1
                session.close()
            self.assertLessEqual(served, 64 + 64 * (time.monotonic() - begin) + 1)

        self.attack(act)
        self.peace("uid_connects")

    def test_silence_ends_with_handshake_ms_and_makes_room(self):
        self.begin(MANY, handshake_ms=300)

        def act():
            for _ in range(3):
                for session in [self.socket(self.name) for _ in range(16)]:
                    self.expect_bye(session, Code.TIMEOUT, "handshake_ms")
                    session.close()

        self.attack(act)
        self.peace("handshake_ms")

    def test_ten_thousand_connections_that_say_nothing_leave_room_for_others(self):
        self.before_start = allow_descriptors
        self.begin(MANY + "uid_sessions = 20000\nuid_unready = 20000\n",
                   sessions=20000, unready=20000, handshake_ms=600000)

        def act(child):
            held = [self.quiet_socket() for _ in range(MOST // PROCESSES)]
            child.say("held")
            child.hear()
            for sock in held:
                sock.close()

        allow_descriptors()
        children = [self.as_user(NOBODY, act) for _ in range(PROCESSES)]
        for child in children:
            child.hear()
        count = MOST // PROCESSES * PROCESSES

        def all_are_known(report):
            """Each is held, or was told that the rest is for others."""
            nonlocal held
            [held] = [row["unready"] for row in report["uids"] if row["uid"] == NOBODY]
            return held + sum(row["count"] for row in report["refusals"]) == count

        held = 0
        self.broker.wait_status(all_are_known, "number")
        self.assertGreater(held, count // 4)        # a third of `sessions` is its fair share
        self.bystander_goes_on()
        with self.connect(self.name) as another:
            sync(another)
        for child in children:
            child.say("go")
            child.end()
        self.peace(may_be=("sessions",))

    def quiet_socket(self):
        """Connected; a full backlog is tried again."""
        while True:
            try:
                return self.socket(self.name)
            except BlockingIOError:
                time.sleep(0.001)


if __name__ == "__main__":
    uid_case.main()
