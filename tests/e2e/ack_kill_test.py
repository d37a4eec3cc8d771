"""Members of groups that acknowledge are killed (-9) at random under load: nothing is lost.

ACK_KILLS=n kills more of them, ACK_SEED=n chooses others.
"""

import os
import random
import signal
import time

import harness

MEMBERS = 5
WINDOW = 16
KILLS = int(os.environ.get("ACK_KILLS", "12"))


class Worker:
    """A member: `sub` that writes into a file. A line without its end was not acknowledged."""

    def __init__(self, case, number, *options):
        self.path = case.directory / f"{number}"
        with open(self.path, "wb") as out:
            self.process = case.start_ready("sub", "--group", "g", "--ack", "--window",
                                            WINDOW, *options, "w", stdout=out)

    def size(self):
        return self.path.stat().st_size

    def lines(self):
        return self.path.read_bytes().split(b"\n")[:-1]


class KillTest(harness.TestCase):

    def setUp(self):
        super().setUp()
        self.directory = self.tmpdir()
        seed = int(os.environ.get("ACK_SEED", time.time_ns() % 1000000))
        print(f"ACK_SEED={seed}", flush=True)
        self.dice = random.Random(seed)

    def wait_growth(self, workers, n_bytes, publisher):
        """Wait until they have written so much more, or there is nothing more to write."""
        def total():
            return sum(worker.size() for worker in workers)
        before = total()
        while total() < before + n_bytes and publisher.is_running():
            time.sleep(0.001)       # the end of what is waited for is an event of others

    def play(self, publisher, workers, options, step_bytes):
        alive = list(workers)
        for _ in range(KILLS):
            self.wait_growth(workers, step_bytes, publisher)
            victim = alive.pop(self.dice.randrange(len(alive)))
            victim.process.signal(signal.SIGKILL)
            fresh = Worker(self, len(workers), *options)
            workers.append(fresh)
            alive.append(fresh)
        result = publisher.result()
        self.assertEqual(result.status, 0, result)
        report = self.broker.wait_status(
            lambda report: report["waiting"] + report["unacknowledged"] == 0, "last ACK")
        self.assertEqual((report["discarded"], report["dead"]), (0, 0))
        return report

    def check(self, workers, expected, report):
        lines = [line for worker in workers for line in worker.lines()]
        lost = set(expected) - set(lines)
        self.assertEqual(lost, set())
        self.assertEqual(set(lines) - set(expected), set())
        again = len(lines) - len(expected)
        print(f"{KILLS} killed, {len(expected)} messages, {report['returned']} came back, "
              f"{again} written twice", flush=True)
        self.assertLessEqual(again, report["returned"])
        self.assertLessEqual(report["returned"], KILLS * WINDOW)

    def test_no_message_is_lost(self):
        n = 4000 * KILLS
        numbers = self.directory / "numbers"
        numbers.write_bytes(b"".join(b"%07d\n" % k for k in range(n)))
        workers = [Worker(self, k) for k in range(MEMBERS)]
        with open(numbers, "rb") as lines:
            publisher = self.start("pub", "--confirm", "--lines", "w", stdin=lines)
            report = self.play(publisher, workers, (), 10 * 2000)
        self.check(workers, [b"w %07d" % k for k in range(n)], report)

    def test_no_descriptor_is_lost(self):
        n = 1500
        for k in range(1, 17):
            (self.directory / f"file{k}").write_bytes(b"<content of %02d>\n" % k)
        workers = [Worker(self, f"{k}", "--raw", "--fd-cat") for k in range(MEMBERS)]
        publisher = self.start(
            "pub", "--confirm", "--count", n, "--fd", self.directory / "file7", "w", "")
        report = self.play(publisher, workers, ("--raw", "--fd-cat"), 18 * 50)
        written = [line for worker in workers for line in worker.lines()]
        self.assertEqual(set(written), {b"<content of 07>"})
        self.assertGreaterEqual(len(written), n)
        self.assertLessEqual(len(written), n + report["returned"])
        self.assertEqual(report["descriptors"], 0)


if __name__ == "__main__":
    harness.main()
