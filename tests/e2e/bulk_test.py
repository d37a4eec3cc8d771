"""100,000 messages to eight processes, one of which is stopped halfway for as long as it takes."""

import os
import random
import signal

import harness
from child import eventually
from wire_case import BrokerTest, is_delivery, status, subscribe, sync
from wire_codec import Credit, Frame as F, Ok, encode

COUNT = 100001                  # the last of them is confirmed
RECEIVERS = 8
OTHERS = 10000
HEAD = encode([F.PUB, 0, "bulk.x", {}, bytes(64)])[:-64]
FRAME_BYTES = len(HEAD) + 64


def frames(first, last):
    """Messages `first` to `last` - 1, encoded."""
    return b"".join(HEAD + b"%064d" % number for number in range(first, last))


def publish(child, connect):
    """Sends all messages, in packets of every size."""
    session, rng, done = connect(), random.Random(8), 0
    child.say("ready")
    child.hear()
    while done < COUNT - 1:
        upto = min(COUNT - 1, done + rng.choice((1, 2, 10, 100, rng.randint(1, 800))))
        session.send_publications(frames(done, upto))
        done = upto
    answer = session.answer(session.publish("bulk.x", b"%064d" % done, confirm=True))
    assert answer.value == RECEIVERS, answer
    child.say("done")


def receive(child, connect, stop_at):
    """Counts all messages; stops itself behind number `stop_at`.

    Compares bytes, not messages: publications come as they were sent.
    """
    session, done = connect(), 0
    subscribe(session, "bulk.*", "bulk.x")
    child.say("ready")
    while done < COUNT:
        packet, _ = session.recv_packet()
        assert packet, f"the end, after {done} messages"
        count = len(packet) // FRAME_BYTES
        body = packet[len(packet) - count * FRAME_BYTES:]
        assert body == frames(done, done + count), f"not messages {done} to {done + count}"
        header = encode([F.DELIVERY, done + 1])[1:]
        assert packet[1:].startswith(header), (packet[:40], done)
        if done < stop_at <= done + count:
            os.kill(os.getpid(), signal.SIGSTOP)
        done += count
    child.say(done)


class BulkTest(BrokerTest):
    limits = {"queue_bytes": 262144, "window_bytes": 524288}

    def test_everything_arrives_in_order_though_one_receiver_is_stopped_halfway(self):
        receivers = [self.fork(receive, self.connect, COUNT // 2 if number == 3 else -1)
                     for number in range(RECEIVERS)]
        publisher = self.fork(publish, self.connect)
        for child in (*receivers, publisher):
            self.assertEqual(child.hear(), "ready")
        publisher.say("go")

        receivers[3].wait_stopped()
        watcher = self.connect()
        eventually(lambda: status(watcher)["parked"], "the publisher waits for the stopped one")
        self.exchange()
        self.assertGreater(status(watcher)["parked"], 0)
        receivers[3].signal(signal.SIGCONT)

        for child in receivers:
            self.assertEqual(child.hear(), str(COUNT))
            child.end()
        self.assertEqual(publisher.hear(), "done")
        publisher.end()

    def exchange(self):
        """Two that have nothing to do with it exchange messages, each confirmed."""
        left, right = self.connect(), self.connect()
        subscribe(right, "other.x")
        for start in range(0, OTHERS, 10):
            for number in range(start, start + 10):
                left.publish("other.x", b"%d" % number, confirm=True)
            for number in range(start, start + 10):
                self.assertEqual(right.take(is_delivery).payload, b"%d" % number)
        sync(left)
        answers = [event for event in left.pending() if not isinstance(event, Credit)]
        self.assertEqual(answers, [Ok(number + 1, 1) for number in range(OTHERS)])


if __name__ == "__main__":
    harness.main()
