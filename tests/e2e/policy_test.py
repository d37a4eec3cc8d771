"""A policy at work: real users, real groups, and a file that changes while the broker runs."""

import contextlib
import os
import signal
import socket
import unittest

import harness
import uid_case
from child import eventually
from policy_case import PolicyCase
from uid_case import NOBODY, SOMEBODY
from wire_case import confirmed, status, subscribe, sync, take_deliveries
from wire_codec import Code, Gap, Rights

SO_PASSRIGHTS = 83


def can_refuse():
    """SO_PASSRIGHTS is there."""
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        return sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 1
    return False


class Policy(PolicyCase):
    def test_what_is_written_is_allowed_and_nothing_else(self):
        self.start(f"[user {NOBODY}]\npublish = a.*\nsubscribe = b.>\n")
        root = self.connect(self.name)
        subscribe(root, ">")

        def act():
            session = self.connect(self.name)
            self.assertEqual(confirmed(session, "a.b"), 1)
            self.expect_err(confirmed(session, "a.b.c"), Code.REFUSED)
            self.expect_err(session.answer(session.sub(1, ">")), Code.REFUSED)
            self.assertEqual(session.answer(session.sub(2, "b.*")).value, 1)    # drop-oldest
            self.expect_err(session.answer(session.request("$sys.status")), Code.REFUSED)

        self.run_as(NOBODY, act)
        self.assertEqual(take_deliveries(root, 1)[0][3:5], (NOBODY, NOBODY))
        self.run_as(SOMEBODY, lambda: self.is_refused(self.name, SOMEBODY, by=SOMEBODY))
        [found] = [r for r in status(root)["refusals"] if r["limit"] == "policy"]
        self.assertEqual((found["count"], found["worst"]["uid"]), (4, NOBODY))

    def test_groups_count_primary_and_supplementary_ones(self):
        self.start("[group 4001]\npublish = a\n")

        def may(_):
            self.assertEqual(confirmed(self.connect(self.name), "a"), 0)

        def may_not(_):
            self.is_refused(self.name, NOBODY, by=NOBODY)

        self.as_user(NOBODY, may, gid=4001).end()
        if harness.IS_PORTABLE:     # which knows of the primary group alone
            return
        self.as_user(NOBODY, may, groups=(4000, 4001, 4002)).end()
        self.as_user(NOBODY, may, groups=range(3000, 5000)).end()
        self.as_user(NOBODY, may_not, groups=(4000, 4002)).end()

    def test_a_bad_file_changes_nothing_and_says_its_line(self):
        self.start(f"[user {NOBODY}]\npublish = a\n")

        def act(child):
            session = self.connect(self.name)
            child.say("in")
            child.hear()
            self.assertEqual(confirmed(session, "a"), 0)

        child = self.as_user(NOBODY, act)
        child.hear()
        self.reload("[any]\nconnect = no\nnonsense\n", said="the policy is as it was")
        self.assertRegex(self.broker.said(), r"policy\.conf:3: ")
        child.say("go")
        child.end()
        os.unlink(self.at("policy.conf"))
        os.mkdir(self.at("policy.conf"))
        os.kill(self.broker.pid, signal.SIGHUP)
        # Confined, it cannot even open that.
        eventually(lambda: self.broker.said().count("the policy is as it was") == 2, "the line")
        self.assertRegex(self.broker.said(), "not a regular file|Permission denied")
        self.as_user(NOBODY, lambda _: self.connect(self.name)).end()

    def test_an_empty_file_denies_and_those_who_are_in_are_told(self):
        self.start("[any]\nconnect = yes\n")

        def act(child):
            session = self.connect(self.name)
            child.say("in")
            self.expect_bye(session, Code.REFUSED, "policy")

        child = self.as_user(NOBODY, act)
        child.hear()
        self.reload("")
        child.end()
        self.run_as(NOBODY, lambda: self.is_refused(self.name, NOBODY, by=NOBODY))
        sync(self.connect(self.name))

    def test_subscriptions_and_retained_values_go_with_the_right(self):
        self.start(f"[user {NOBODY}]\npublish = >\nretain = >\nsubscribe = a.>\n")

        def act(child):
            session = self.connect(self.name)
            self.assertEqual(session.answer(session.sub(7, "a.*")).value, 1)
            self.assertEqual(confirmed(session, "kept", b"x", retain=True), 0)
            child.say("in")
            rights = session.take(lambda event: isinstance(event, Rights))
            self.assertFalse(rights.rights & 2)         # subscribe
            gap = session.take(lambda event: isinstance(event, Gap))
            self.assertEqual((gap.sub, gap.count, gap.reason), (7, 0, 6))
            child.say("told")

        child = self.as_user(NOBODY, act)
        child.hear()
        self.reload(f"[user {NOBODY}]\npublish = >\n")
        child.hear()
        root = self.connect(self.name)
        subscribe(root, ">")
        self.assertEqual(confirmed(root, "a.b"), 1)
        self.assertEqual(take_deliveries(root, 1)[0].topic, "a.b")
        child.end()

    @unittest.skipUnless(can_refuse(), "before Linux 6.16 the kernel lets all descriptors in")
    def test_no_descriptors_come_in_when_the_right_is_gone(self):
        if harness.IS_PORTABLE:     # no system but Linux refuses them
            return
        self.start(f"[user {NOBODY}]\npublish = >\nsend-fds = a\n")

        def act(child):
            session = self.connect(self.name)
            ends = os.pipe()
            self.assertEqual(session.answer(session.publish("a", fds=ends, confirm=True)).value, 0)
            child.say("in")
            child.hear()
            with self.assertRaises(PermissionError):    # although it has not read RIGHTS yet
                session.publish("a", fds=ends)

        child = self.as_user(NOBODY, act)
        child.hear()
        self.reload(f"[user {NOBODY}]\npublish = >\n")
        child.say("go")
        child.end()

    def test_the_sessions_of_a_uid_are_bounded_and_no_others(self):
        self.start("[any]\nconnect = yes\nuid_sessions = 3\n")

        def act(child):
            sessions = [self.connect(self.name) for _ in range(3)]
            self.expect_bye(self.socket(self.name), Code.LIMIT, "uid_sessions")
            sync(sessions[0])
            child.say("full")
            child.hear()

        child = self.as_user(NOBODY, act)
        child.hear()
        self.as_user(SOMEBODY, lambda _: self.connect(self.name)).end()
        root = self.connect(self.name)
        [found] = [r for r in status(root)["refusals"] if r["limit"] == "uid_sessions"]
        pid = 0 if harness.IS_PORTABLE else child.pid       # which it cannot tell
        self.assertEqual(found["worst"], {"uid": NOBODY, "pid": pid, "count": 1})
        [uid] = [u for u in status(root)["uids"] if u["uid"] == NOBODY]
        self.assertEqual(uid["sessions"], 3)
        child.say("go")
        child.end()

    def test_status_may_answers_from_the_running_broker(self):
        self.start(f"[user {NOBODY}]\npublish = a.*\n")
        words = ("-a", self.name, "--may")
        for args, expected, said in (
                ((str(NOBODY), "publish", "a.b"), 0, r"yes: \S+/policy\.conf:2 \[user \d+\] a\.\*"),
                ((str(NOBODY), "publish", "b"), 5, "no: nothing allows it"),
                ((str(SOMEBODY), "connect"), 5, "no: may not connect"),
                (("0", "administer"), 0, "yes: the broker's own uid"),
                ((str(NOBODY), "subscribe", "a.*"), 5, "no: nothing")):
            result = harness.run("status", *words, *args)
            self.assertEqual((result.status, result.err), (expected, b""), args)
            self.assertRegex(result.out.decode(), rf"\A{said}[^\n]*\n\Z")
        for args in (("no-such-user", "connect"), ("0",), ("0", "fly"), ("0", "publish", "a..b"),
                     ("0", "publish"), ("0", "connect", "a", "b")):
            self.assertEqual(harness.run("status", *words, *args).status, 2, args)
        self.reload(f"[user {NOBODY}]\npublish = b\n")
        self.assertEqual(harness.run("status", *words, str(NOBODY), "publish", "b").status, 0)

    def test_a_hangup_without_a_policy_is_no_end(self):
        broker = self.serve(self.open_name)
        os.kill(broker.pid, signal.SIGHUP)
        eventually(lambda: "no policy" in broker.said(), "the line")
        sync(self.connect(self.name))


if __name__ == "__main__":
    uid_case.main()
