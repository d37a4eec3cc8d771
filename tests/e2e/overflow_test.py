"""Overflow policies from outside: a subscriber is stopped under load, and all is accounted for."""

import json
import re
import signal

import harness

MESSAGES = 4000
PAYLOAD = "x" * 200


class OverflowTest(harness.TestCase):
    """`sub` is stopped, `pub` goes on as far as it may, `sub` is woken."""

    def subscribe(self, *options):
        return self.start_ready("sub", "--json", *options, "load.>")

    def lines(self):
        return "".join(f"{number} {PAYLOAD}\n" for number in range(MESSAGES)).encode()

    def account(self, out):
        """The numbers that arrived, and those that were told as lost before each of them."""
        numbers, lost = [], 0
        for line in out.splitlines():
            event = json.loads(line)
            if event.get("event") == "gap":
                self.assertEqual(event["reason"], "overflow")
                lost += event["count"]
            else:
                numbers.append(int(event["payload"].split()[0]))
        return numbers, lost

    def publish_all(self):
        result = self.run_tool("pub", "--lines", "load.numbers", stdin=self.lines())
        self.assertEqual(result.status, 0, result)

    def all_lines(self, sub):
        """What it printed until now. What SIGTERM finds in its socket it would not print."""
        self.expect(0, "pub", "load.end", "")
        lines = []
        while '"topic":"load.end"' not in (line := sub.out.next_line()):
            lines.append(line)
        sub.signal(signal.SIGTERM)
        self.assertEqual(sub.wait(), 0)
        return lines

    def lose(self, *options):
        """Returns what a stopped subscriber with these rules got in the end, and what it lost."""
        sub = self.subscribe(*options)
        sub.signal(signal.SIGSTOP)
        self.publish_all()
        report = self.broker.status()
        self.assertGreater(report["dropped"], 0)
        sub.signal(signal.SIGCONT)
        self.broker.wait_status(lambda now: not now["queued"], "end of the backlog")
        numbers, lost = self.account("\n".join(self.all_lines(sub)))
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(len(numbers) + lost, MESSAGES)
        self.assertEqual(lost, report["dropped"])
        return numbers, lost

    def test_drop_oldest_keeps_the_newest_and_accounts_for_all(self):
        numbers, _ = self.lose("--overflow", "drop-oldest", "--queue", "65536,100")
        self.assertEqual(numbers[-100:], list(range(MESSAGES - 100, MESSAGES)))

    def test_drop_newest_keeps_the_oldest_and_accounts_for_all(self):
        numbers, _ = self.lose("--overflow", "drop-newest", "--queue", "65536,100")
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_latest_keeps_the_last_of_a_topic_and_accounts_for_all(self):
        numbers, _ = self.lose("--overflow", "latest")
        self.assertEqual(numbers[-1], MESSAGES - 1)
        self.assertEqual(numbers[:-1], list(range(len(numbers) - 1)))

    def test_block_loses_nothing(self):
        sub = self.subscribe("--queue", "65536,100")
        sub.signal(signal.SIGSTOP)
        pub = self.start("pub", "--lines", "-f", self.write_lines(), "load.numbers")
        self.broker.wait_status(lambda report: report["parked"], "publisher that waits")
        sub.signal(signal.SIGCONT)
        self.assertEqual(pub.wait(), 0)
        self.broker.wait_status(lambda now: not now["queued"], "end of the backlog")
        numbers, lost = self.account("\n".join(self.all_lines(sub)))
        self.assertEqual((numbers, lost), (list(range(MESSAGES)), 0))

    def write_lines(self):
        path = self.tmpdir() / "lines"
        path.write_bytes(self.lines())
        return path

    def test_disconnect_ends_it_with_a_reason_and_counts_what_was_queued(self):
        sub = self.subscribe("--overflow", "disconnect", "--queue", "65536,100")
        sub.signal(signal.SIGSTOP)
        self.publish_all()
        report = self.broker.status()
        self.assertGreater(report["discarded"], 0)
        sub.signal(signal.SIGCONT)
        sub.wait_line(re.compile(".*your backlog is full.*"), "err")
        # It comes back to the same broker, which knows what it had for it.
        missed = report["discarded"]
        sub.wait_line(re.compile(f"sub: reconnected to .*; {missed} messages were missed"), "err")
        sub.signal(signal.SIGTERM)
        out = sub.result().out
        self.assertIn(b'{"event":"reconnected","instance_changed":false,"missed":%d}' % missed,
                      out.splitlines())
        numbers, lost = self.account(b"\n".join(
            line for line in out.splitlines() if b'"reconnected"' not in line))
        self.assertEqual(lost, 0)
        # Until then it got all, in the kernel or from it; the rest was queued, or came later.
        self.assertEqual(numbers, list(range(len(numbers))))
        later = report["published"] - len(numbers) - report["discarded"]
        self.assertGreaterEqual(later, 0)


if __name__ == "__main__":
    harness.main()
