"""Whose turn it is: who floods does not hold up others, however many connections it has and however
much work its packets are. What is compared is the order in which an observer gets all of it."""

import unittest

import harness
import uid_case
from uid_case import NOBODY, OtherUid, become
from wire_case import subscribe, sync

# A packet of publications that are worth the most work for their bytes: the topic changes.
TINY = b"\x95\x10\x00\xa1x\x80\xc4\x00" + b"\x95\x10\x00\xa1y\x80\xc4\x00"
PACKET = TINY * (16000 // len(TINY))
IN_A_PACKET = len(PACKET) // 8
PACKETS = 4             # of each connection


@unittest.skipIf(harness.KIND == "stream", "how much a stream's socket holds is its own matter")
class Turns(OtherUid):
    def setUp(self):
        super().setUp()
        policy = self.at("policy.conf")
        with open(policy, "w", encoding="ascii") as file:
            file.write(f"[user {NOBODY}]\npublish = >\n")
        self.broker = self.new_broker("--policy", policy, listen=(self.open_name,),
                                      address=self.name, limits={"queue_messages": 10**6})
        self.observer = self.connect(self.name)
        subscribe(self.observer, "x", "y", "v")
        self.victim = self.connect(self.name)

    def stop_broker(self):
        self.broker.pause()
        self.addCleanup(self.broker.go_on)

    def flood(self, child, sessions, uid):
        if uid:
            become(uid)
        opened = [self.connect(self.name) for _ in range(sessions)]
        child.say("in")
        child.hear()
        for session in opened:
            for _ in range(PACKETS):
                session.send_raw(PACKET)
        child.say("sent")
        child.hear()

    def position(self, sessions, uid):
        """How many publications of a flood of so many sessions come before the victim's one, which
        was sent last."""
        child = self.fork(self.flood, sessions, uid)
        child.hear()
        self.stop_broker()
        child.say("go")
        child.hear()
        self.victim.publish("v", b"")
        self.broker.go_on()
        before = 0
        while (topic := self.observer.take(lambda event: hasattr(event, "topic")).topic) != "v":
            before += topic in ("x", "y")
        child.say("done")
        child.end()
        sync(self.victim)
        return before

    def test_another_uid_comes_in_between(self):
        self.assertLess(self.position(1, NOBODY), IN_A_PACKET // 4)

    def test_another_uid_comes_in_between_however_many_connections_flood(self):
        self.assertLess(self.position(8, NOBODY), IN_A_PACKET // 4)

    def test_a_mate_of_the_same_uid_comes_in_between_too(self):
        self.assertLess(self.position(8, 0), 8 * IN_A_PACKET // 4)


if __name__ == "__main__":
    uid_case.main()
