"""As much as a stranger may have, and one more: he is refused by the name of the limit, and nobody
else is (T16, T17, T18, T23, T26). Names at their limits, sets that grow without end.
"""

import os

import uid_case
from attack_case import MANY, AttackCase
from child import eventually
from uid_case import NOBODY
from wire_case import confirmed, status, subscribe, sync, take_deliveries
from wire_codec import Code, Err, Frame as F, Ok, encode

NO_TOPICS = ("", ".", "a.", ".a", "a..b", "*", "a.*", ">", "a.>", "a*.b>", "a b", "a\0b", "a\x1fb",
             "a\x7f", "a\x80b", "\udcff", "\udcc0\udc80", "\udced\udca0\udc80", "\udce2\udc82",
             "x" * 256, ".".join("a" * 17), ".".join(["x" * 31] * 8) + "." + "y")
TOPICS = ("x" * 255, ".".join("a" * 16), "ä.ö", "\U0010ffff")


class Names(AttackCase):
    def test_topics_at_their_limits_pass_and_beyond_are_refused(self):
        self.begin()

        def act():
            session = self.connect(self.name)
            for topic in TOPICS:
                self.assertEqual(confirmed(session, topic), 0, topic)
            for topic in NO_TOPICS:
                self.expect_err(confirmed(session, topic), Code.BAD_TOPIC)
                self.expect_err(confirmed(session, topic, retain=True), Code.BAD_TOPIC)
                self.expect_err(confirmed(session, topic, will=True) if topic else
                                confirmed(session, topic), Code.BAD_TOPIC)
                self.expect_err(session.answer(session.request(topic)), Code.BAD_TOPIC)
                self.expect_err(confirmed(session, topic, bytes(70000)), Code.BAD_TOPIC)
            for topic in ("$sys.x", "$", "$x", "$sys.status.x"):
                self.expect_err(confirmed(session, topic), Code.REFUSED)
                self.expect_err(confirmed(session, topic, retain=True), Code.REFUSED)
            for number, text in enumerate((*NO_TOPICS, "a.>.b", "**", "a.>>"), 1):
                answer = session.answer(session.sub(number, text))
                if isinstance(answer, Err):
                    self.assertIn(answer.code, (Code.BAD_TOPIC, Code.REFUSED))
                else:
                    self.assertRegex(text, r"[*>]$")
            for group in (*NO_TOPICS[:1], "a.b", "*", ">", "x y", "g" * 256):
                self.expect_err(session.answer(session.sub(1000 + len(group), "a", group=group)),
                                Code.BAD_TOPIC)

        self.attack(act)
        self.peace(may_be=("policy",))

    def test_headers_at_their_limits_pass_and_beyond_are_refused(self):
        self.begin()

        def act():
            session = self.connect(self.name)
            for good in ({f"k{n}": n for n in range(64)}, {"k" * 255: 1}, {"k": "v" * 8180},
                         {"k": -1 << 63, "l": (1 << 64) - 1, "m": None, "n": True, "o": 1.5}):
                self.assertEqual(confirmed(session, "a", headers=good), 0)
            for bad in ({f"k{n}": n for n in range(65)}, {"k" * 256: 1}, {"k": "v" * 8192},
                        {"": 1}, {"$x": 1}, {"k": []}, {"k": {}}, {"k": float("nan")},
                        {"k": float("inf")}, {"k": "\udcff"}, {"\udcff": 1}, {b"k": 1}, {1: 1}):
                self.expect_err(confirmed(session, "a", headers=bad), Code.BAD_HEADERS)
            session.send_raw(encode([F.INGRESS, 1, session.new_ids(), 0])
                             + b"\x95\x10\x00\xa1a\x82\xa1k\x01\xa1k\x02\xc4\x00")      # twice

        self.attack(act)
        self.peace()


class Subscriptions(AttackCase):
    def test_no_more_subscriptions_than_the_uid_may_have(self):
        self.begin(MANY)

        def act():
            taken, sessions = 0, [self.connect(self.name) for _ in range(6)]
            for which, session in enumerate(sessions):
                asked = [session.sub(k, f"bomb.*.{which}.{k}.>") for k in range(1, 2500)]
                answers = [session.answer(number) for number in asked]
                taken += sum(isinstance(answer, Ok) for answer in answers)
                for answer in answers:
                    if isinstance(answer, Err):
                        self.expect_err(answer, Code.LIMIT, "uid_subscriptions")
            self.assertLessEqual(taken, 4096)
            self.assertGreater(taken, 2048)
            self.assertEqual(confirmed(sessions[0], "bomb.x.0.1.y"), 1)

        self.attack(act)
        self.peace("uid_subscriptions")

    def test_filters_that_all_match_do_not_make_anybodys_topic_too_costly(self):
        self.begin(MANY)
        deep = ".".join(["t"] * 16)

        def act(child):
            session, other = self.connect(self.name), self.connect(self.name)
            for who in (session, other):
                asked = []
                for bits in range(2048):
                    tokens = ["*t"[bits >> k & 1] for k in range(11)]
                    tokens[0] = "*" if who is session else "t"
                    asked.append(who.sub(bits + 1, ".".join(tokens + ["*"] * 5)))
                for number in asked:
                    who.answer(number)
            child.say("set")
            child.hear()

        child = self.as_user(NOBODY, act)
        child.hear()
        root = self.connect(self.name)
        subscribe(root, "t.>")
        for topic in (deep, deep[:-2], "t"):
            answer = confirmed(root, topic)
            self.assertIsInstance(answer, int, answer)
        self.assertEqual(take_deliveries(root, 1)[0].topic, deep)
        self.bystander_goes_on()
        child.say("go")
        child.end()
        root.close()
        self.peace(may_be=("uid_subscriptions",))

    def test_groups_are_as_many_as_the_uid_may_have_and_go_with_it(self):
        self.begin(linger_ms=100)

        def act():
            session, other = self.connect(self.name), self.connect(self.name)
            for who in (session, other):
                answers = [who.answer(who.sub(k, f"work.{k}", group=f"g{id(who)}", ack=True))
                           for k in range(1, 100)]
                refused = [answer for answer in answers if isinstance(answer, Err)]
                self.assertGreater(len(refused), 30)
                for answer in refused:
                    self.expect_err(answer, Code.LIMIT, "uid_groups")
            for _ in range(100):
                session.publish("work.1", bytes(1000))
            sync(session)

        self.attack(act)
        self.peace("uid_groups", may_be=("uid_queue_bytes",))


class Lasting(AttackCase):
    def test_retained_values_are_as_many_and_as_large_as_the_uid_may_have(self):
        self.begin(MANY)

        def act():
            kept, session = [], self.connect(self.name)
            self.expect_err(confirmed(session, "large", bytes(1100000), retain=True), Code.LIMIT,
                            "uid_retained_bytes")
            for _ in range(4):
                session = self.connect(self.name)
                for number in range(700):
                    topic = f"kept.{len(kept)}"
                    answer = confirmed(session, topic, bytes(10), retain=True)
                    if isinstance(answer, Err):
                        self.assertIn(answer.limit, ("uid_retained", "uid_retained_bytes"))
                        break
                    kept.append(topic)
            self.assertLessEqual(len(kept), 1024)
            self.assertGreater(len(kept), 500)
            for topic in kept:
                self.assertEqual(confirmed(session, topic, retain=True), 0)

        self.attack(act)
        self.peace("uid_retained_bytes", may_be=("uid_retained",))

    def test_wills_by_all_sessions_come_once_each_and_disturb_nobody(self):
        self.begin(MANY)
        root = self.connect(self.name)
        subscribe(root, "will.*")

        def act():
            sessions = [self.connect(self.name) for _ in range(60)]
            for number, session in enumerate(sessions):
                for _ in range(20):             # each takes the place of the one before
                    self.assertEqual(0, confirmed(
                        session, f"will.{number}", bytes(30000), will=True))
                self.expect_err(confirmed(session, "$sys.will", will=True), Code.BAD_TOPIC)

        for _ in range(5):
            self.attack(act)
            eventually(lambda: status(root)["sessions"] == 3, "the end of their sessions")
        wills = [delivery.topic for delivery in take_deliveries(root, 300)]
        self.assertEqual(sorted(wills), sorted([f"will.{k}" for k in range(60)] * 5))
        root.close()
        self.peace()


class Requests(AttackCase):
    def test_requests_that_stay_open_are_as_many_as_the_uid_may_have(self):
        self.begin(MANY)

        def act():
            silent = self.connect(self.name)
            self.assertEqual(silent.answer(silent.sub(1, "silent")).value, 1)
            refused = 0
            for _ in range(4):
                session = self.connect(self.name)
                for _ in range(2500):
                    session.request("silent", timeout_ms=60000)
                sync(session)
                errors = [event for event in session.pending() if isinstance(event, Err)]
                refused += sum(event.limit == "uid_requests" for event in errors)
                self.assertLessEqual({event.limit for event in errors},
                                     {"uid_requests", "requests"})
            self.assertGreater(refused, 1000)

        self.attack(act)
        self.peace("uid_requests")


class Descriptors(AttackCase):
    def test_descriptors_that_are_not_received_are_as_many_as_the_uid_may_have(self):
        self.begin(MANY)
        before = self.broker.count_fds()

        def act(child):
            read_end, write_end = os.pipe()
            publisher, refused = self.connect(self.name), 0
            for _ in range(20):
                receiver = self.connect(self.name)
                receiver.auto_fd_credit = False
                receiver.answer(receiver.sub(1, "fds", max_fds=16))
            for _ in range(60):
                answer = confirmed(publisher, "fds", fds=[write_end] * 16)
                if isinstance(answer, Err):
                    self.assertIn(answer.limit, ("uid_fds", "uid_flight_fds"))
                    refused += 1
            self.assertGreater(refused, 20)
            child.say("full")
            child.hear()
            child.say("bye")
            os.close(write_end)

        child = self.as_user(NOBODY, act)
        child.hear()
        eventually(lambda: self.broker.count_fds() - before <= 256 + 21,
                   "it keeps no more than the uid may have, and its connections")
        child.say("go")
        child.end()
        self.peace("uid_fds", may_be=("uid_flight_fds",))


if __name__ == "__main__":
    uid_case.main()
