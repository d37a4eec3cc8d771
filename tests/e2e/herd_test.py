"""A thousand clients lose their broker at once, and return to the next one.

How long that takes is printed. What must hold on any machine: all return, each once, none is
refused, and what they subscribed to arrives. Printed are the most tries that one client needed:
"absent", nobody was there; "busy", the broker's queue of connections was full; "connected", which
is more than one only for those that were quick, and reached the old broker: as it dies, what
listens is closed last.
"""

import json
import os
import time
from pathlib import Path

import harness

PROCESSES, CLIENTS_EACH = 4, 250
CLIENTS = PROCESSES * CLIENTS_EACH
LONG_TRIES = 6                  # so often they have tried when the time between is the longest
GENEROUS_S = 10
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
SHORT_QUEUE = 16


def has_own_network():
    """A network namespace that nobody else uses, as in Bazel's sandbox."""
    names = [line.split(":")[0].strip()
             for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]]
    return names == ["lo"] and os.access(SOMAXCONN, os.W_OK)


class HerdTest(harness.TestCase):

    def setUp(self):
        super().setUp()
        self.herds = [self.start(harness.binary("herd_client", "tests/e2e"), self.broker.address,
                                 CLIENTS_EACH) for _ in range(PROCESSES)]
        self.await_all("begun")

    def await_all(self, line):
        for herd in self.herds:
            herd.wait_line(line)

    def sums(self, herd):
        while not (line := herd.out.next_line()).startswith("back "):
            pass
        return json.loads(line[len("back "):])

    def check_return(self, began_ns):
        """Returns how often one found the queue of connections full."""
        sums = [self.sums(herd) for herd in self.herds]
        seconds = (max(s["last_ready_ns"] for s in sums) - began_ns) / 1e9
        most = {what: max(s[what] for s in sums)
                for what in ("most_absent", "most_busy", "most_connected")}
        busy = sum(s["busy"] for s in sums)
        print(f"{self._testMethodName}: {CLIENTS} clients are back after {seconds:.3f} s; "
              f"busy {busy}, {most}")
        self.assertEqual(sum(s["once"] for s in sums), CLIENTS)
        self.assertEqual(sum(s["wrong"] for s in sums), 0)
        if int(SOMAXCONN.read_text()) >= CLIENTS:
            self.assertEqual(busy, 0)
        self.assertLess(seconds, GENEROUS_S)
        self.assertEqual(self.broker.status()["sessions"], CLIENTS + 1)
        self.expect(0, "pub", "herd", "welcome back", err="")
        self.await_all("heard")
        for herd in self.herds:
            self.assertEqual(herd.result().status, 0)
        return busy

    def test_after_a_crash(self):
        self.broker.kill()
        self.await_all("lost")
        self.broker.start()
        self.check_return(time.monotonic_ns())

    def test_after_an_orderly_restart(self):
        self.broker.stop()
        self.await_all("lost")
        self.broker.start()
        self.check_return(time.monotonic_ns())

    def test_after_a_long_absence(self):
        self.broker.kill()
        self.await_all(f"tried {LONG_TRIES}")
        self.broker.start()
        self.check_return(time.monotonic_ns())

    def pile_up(self, line):
        """A new broker stands still until all of them say this."""
        self.broker.kill()
        self.await_all("lost")
        self.broker.start()
        self.broker.pause()
        self.await_all(line)
        self.broker.go_on()
        return time.monotonic_ns()

    def test_when_the_queue_is_short(self):
        if not has_own_network():
            self.skipTest("the length of queues is not ours to change")
        self.addCleanup(SOMAXCONN.write_text, SOMAXCONN.read_text())
        SOMAXCONN.write_text(f"{SHORT_QUEUE}")
        self.assertGreater(self.check_return(self.pile_up("tried 3")), 0)

    def test_when_all_are_there_before_the_first_is_let_in(self):
        self.check_return(self.pile_up("connected"))


if __name__ == "__main__":
    harness.main()
