"""A subscriber that is stopped (SIGSTOP) for five seconds under full load.

With `block` nothing is lost; with every other policy each message is printed or told to be lost.
STOPPED_S=n stops them for longer.
"""

import os
import re
import signal
import subprocess
import sys
import time

import harness

SECONDS = float(os.environ.get("STOPPED_S", "5"))
# Lines of 1, 2, 3 ..., whole ones, until SIGTERM.
FEED = """
import itertools, signal, sys
signal.signal(signal.SIGTERM, lambda *_: globals().update(ends=True))
ends = False
for first in itertools.count(1, 500):
    if ends:
        break
    sys.stdout.write("".join(f"{n}\\n" for n in range(first, first + 500)))
"""
LOST = re.compile(rb"sub: load: (\d+) messages lost \(overflow\)")
MISSED = re.compile(rb"sub: reconnected to \S+; (\d+) messages were missed")


def is_rising(numbers):
    return all(a < b for a, b in zip(numbers, numbers[1:]))


def is_whole(numbers):
    """1, 2, 3 ... to the last."""
    return is_rising(numbers) and numbers[0] == 1 and numbers[-1] == len(numbers)


class Subscriber:

    def __init__(self, case, policy):
        self.policy, self.path = policy, case.directory / policy
        with open(self.path, "wb") as out:
            self.process = case.start_ready("sub", "--overflow", policy, "load", stdout=out)

    def numbers(self):
        """What it has printed; whether the end was the last of it."""
        lines = self.path.read_bytes().split(b"\n")[:-1]
        is_over = bool(lines) and lines[-1] == b"load end"
        return [int(line[len(b"load "):]) for line in lines[:len(lines) - is_over]], is_over

    def wait_end(self, deadline):
        """Wait until it has printed all there is."""
        while not self.path.read_bytes()[-9:] == b"load end\n":
            assert time.monotonic() < deadline, f"{self.policy}: the end does not come"
            time.sleep(0.01)        # what is waited for is the end itself
        numbers, _ = self.numbers()
        self.process.signal(signal.SIGTERM)
        result = self.process.result()
        assert result.status == 0, result
        return numbers, result.err


class StoppedTest(harness.TestCase):

    def setUp(self):
        super().setUp()
        self.directory = self.tmpdir()

    def begin(self):
        """As many messages as go: their payloads are 1, 2, 3 ..."""
        self.feed = subprocess.Popen([sys.executable, "-c", FEED], stdout=subprocess.PIPE)
        self.publisher = self.start("pub", "--lines", "load", stdin=self.feed.stdout)
        self.feed.stdout.close()
        self.wait_published(10000)

    def wait_published(self, more):
        before = self.broker.status()["published"]

        def has_come(report):
            self.assertTrue(self.publisher.is_running(), self.publisher.err._data)
            return report["published"] >= before + more
        self.broker.wait_status(has_come)

    def stop_for_a_while(self, subscribers):
        for subscriber in subscribers:
            subscriber.process.signal(signal.SIGSTOP)
        time.sleep(SECONDS)         # this is what is asked for, nothing is waited for
        report = self.broker.status()
        for subscriber in subscribers:
            subscriber.process.signal(signal.SIGCONT)
        return report

    def finish(self, subscribers):
        """What each has printed, and said, by its policy; and how many messages there were."""
        self.wait_published(10000)
        self.feed.terminate()
        self.feed.wait()
        self.assertEqual(self.publisher.wait(), 0)
        self.broker.wait_status(lambda report: report["queued"] + report["parked"] == 0)
        self.expect(0, "pub", "load", "end")
        deadline = time.monotonic() + harness.DEADLINE_S
        return {s.policy: s.wait_end(deadline) for s in subscribers}

    def test_block_loses_nothing(self):
        subscriber = Subscriber(self, "block")
        self.begin()
        report = self.stop_for_a_while([subscriber])
        self.assertGreater(report["parked"], 0)
        numbers, err = self.finish([subscriber])["block"]
        self.assertTrue(is_whole(numbers))
        self.assertNotIn(b"lost", err)
        print(f"block: {len(numbers)} messages, none lost")

    def test_the_other_policies_account_for_every_message(self):
        control = Subscriber(self, "block")
        stopped = [Subscriber(self, policy)
                   for policy in ("drop-oldest", "drop-newest", "latest", "disconnect")]
        self.begin()
        report = self.stop_for_a_while(stopped)
        self.assertGreater(report["dropped"], 0)
        results = self.finish([control, *stopped])
        every, _ = results["block"]
        self.assertTrue(is_whole(every))
        for policy in ("drop-oldest", "drop-newest", "latest"):
            numbers, err = results[policy]
            lost = sum(int(count) for count in LOST.findall(err))
            print(f"{policy}: {len(every)} messages, {len(numbers)} printed, {lost} lost")
            self.assertGreater(lost, 0)
            self.assertTrue(is_rising(numbers))
            self.assertEqual(len(numbers) + lost, len(every), policy)
        self.check_disconnected(*results["disconnect"], len(every))

    def check_disconnected(self, numbers, err, total):
        """Nothing is missing but at its ends, and there no less than it is told; it may be ended
        more than once on a busy machine.
        """
        missed = list(map(int, MISSED.findall(err)))
        holes = [b - a - 1 for a, b in zip([0, *numbers], [*numbers, total + 1]) if b != a + 1]
        print(f"disconnect: {total} messages, {len(numbers)} printed, {missed} missed in holes of "
              f"{holes}")
        self.assertIn(b"you asked to be disconnected", err)
        self.assertGreater(sum(missed), 0)
        self.assertTrue(is_rising(numbers))
        self.assertLessEqual(len(holes), len(missed))
        self.assertLessEqual(sum(missed), sum(holes))


if __name__ == "__main__":
    harness.main()
