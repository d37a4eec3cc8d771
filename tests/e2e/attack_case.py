"""What attack tests share: a stranger whom the policy lets in, and bystanders who must not notice.

The bystanders are of root: one process that sends numbered, confirmed publications to itself by
two sessions, all the while. It ends with an error if one is lost, late in its order, or refused.
"""

import select

from child import Child, eventually
from policy_case import PolicyCase
from uid_case import NOBODY
from wire_case import is_delivery, status, subscribe
from wire_client import Session
from wire_codec import Ok

BATCH = 16

# Nothing that a policy could take away shall stop an attack; `block` it may not.
MAY = f"""[user {NOBODY}]
publish = >
subscribe = >
join = >
retain = >
will = >
send-fds = >
"""
MANY = "uid_connects = 1000000\n"


def bystand(child, address):
    """Publishes and receives until it hears a line; says how many."""
    with Session.connect(address, timeout=30) as publisher, \
            Session.connect(address, timeout=30) as receiver:
        publisher.hello("bystander")
        receiver.hello("bystander")
        subscribe(receiver, "bystander.x")
        count, word = 0, ""
        while word != "enough":
            ids = [publisher.publish("bystander.x", b"%d" % (count + k), confirm=True)
                   for k in range(BATCH)]
            for number, asked in enumerate(ids, count):
                # Who subscribes to everything receives it too.
                answer = publisher.answer(asked)
                assert isinstance(answer, Ok) and answer.value >= 1, answer
                delivery = receiver.take(is_delivery)
                assert (delivery.seq, delivery.payload) == (number + 1, b"%d" % number), delivery
            if not count:
                child.say("ready")
            count += BATCH
            word = child.hear() if select.select([child], [], [], 0)[0] else ""
            if word == "how many":
                child.say(str(count))
        assert not any(is_delivery(event) for event in receiver.pending())
        child.say(str(count))


class AttackCase(PolicyCase):
    """Each test starts its broker, attacks, and ends with `peace`."""

    before_start = None         # called in the process that becomes the broker

    def begin(self, more="", **limits):
        """A broker that lets NOBODY in; `more`: further lines of its section."""
        self.stream = "stream:" + self.at("stream")
        self.broker = self.new_broker(
            "--policy", self.write(MAY + more),
            listen=(self.open_name, self.stream + "?mode=0666"), address=self.name, limits=limits,
            preexec_fn=self.before_start)
        self.bystander = Child(bystand, self.name)
        self.addCleanup(self.bystander.kill)
        self.bystander.hear()
        return self.broker

    def attack(self, function, uid=NOBODY):
        """Run function() as a stranger, to its end; as a process of its own."""
        self.as_user(uid, lambda _: function()).end()

    def bystander_goes_on(self):
        """It has made progress since this was called."""
        def ask():
            self.bystander.say("how many")
            return int(self.bystander.hear())

        before = ask()
        eventually(lambda: ask() > before + BATCH, "the bystanders go on")

    def peace(self, *limits, may_be=(), may_stay=(), uid=NOBODY):
        """The attackers are gone: nothing is left of them but who was refused what.

        limits    those by which an attacker was refused; `may_be`: others that are no surprise;
        `may_stay`: what of the uid lasts.
        """
        self.bystander.say("enough")
        self.assertGreater(int(self.bystander.hear()), BATCH)
        self.bystander.end()
        root = self.connect(self.name)

        def is_clean():
            report = status(root)
            left = [row for row in report["uids"] if row["uid"] == uid]
            return not any(count for row in left for key, count in row.items()
                           if key not in ("uid", *may_stay)) \
                and report["sessions"] == 1 and not any(report[key] for key in (
                    "descriptors", "descriptors_in_flight", "queued_bytes", "parked",
                    "parked_bytes", "spooled_bytes", "placed_bytes", "requests", "subscriptions"))

        eventually(is_clean, "all accounts are empty")
        refusals = {row["limit"]: row for row in status(root)["refusals"] if row["count"]}
        for limit in limits:
            self.assertIn(limit, refusals)
            self.assertEqual(refusals[limit]["worst"]["uid"], uid, refusals[limit])
        self.assertLessEqual(set(refusals), {*limits, *may_be})
        root.close()
