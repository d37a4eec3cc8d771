"""What the examples with an event loop promise, whichever loop it is."""

import os
import re
import signal
import time
from pathlib import Path

from example_case import ExampleTest

ROUNDS = 50
TIME = re.compile(r"clock\.now [0-9]+")
LOST = re.compile(r"lost: .+")
READY = re.compile(r"ready: .+")


def processor_s(pid):
    """The seconds that a process has spent on a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class LoopTest(ExampleTest):
    """A service that publishes clock.now and prints clock.>; its name is `service`."""

    def begin_service(self):
        service = self.begin(self.service)
        service.wait_line(TIME)
        return service

    def end_service(self, service):
        """SIGTERM; it takes leave properly, and has nothing to complain of."""
        service.signal(signal.SIGTERM)
        self.assertEqual(service.wait(), 0)
        self.assertEqual(service.err.rest(), b"")

    def check_it_is_woken(self, service):
        """What others say is printed when it comes, and not when the timer next expires."""
        publisher = self.start("pub", "--lines", "clock.other")
        n_ticks = 0
        for number in range(ROUNDS):
            publisher.stdin.write(f"{number}\n".encode())
            while (line := service.out.next_line()) != f"clock.other {number}":
                n_ticks += bool(TIME.fullmatch(line))
        self.assertLess(n_ticks, ROUNDS // 2)
        self.assertEqual(publisher.result().status, 0)

    def check_it_sleeps(self, service):
        """While others are busy it spends less than half of the time on a processor."""
        began, spent = time.monotonic(), processor_s(service.pid)
        for _ in range(100):
            self.run_tool("pub", "clock.other")
        self.assertLess(processor_s(service.pid) - spent, (time.monotonic() - began) / 2)

    def check_it_prints_what_others_say(self):
        service = self.begin_service()
        self.check_it_is_woken(service)
        self.end_service(service)

    def check_it_outlives_its_broker(self):
        service = self.begin_service()
        for _ in range(3):
            self.broker.kill()
            service.wait_line(LOST)
            self.restart()
            service.wait_line(READY)
            service.wait_line(TIME)
        self.check_it_is_woken(service)
        self.end_service(service)

    def check_it_rests(self):
        service = self.begin_service()
        self.broker.kill()
        service.wait_line(LOST)
        self.check_it_sleeps(service)
        self.restart()
        service.wait_line(READY)
        service.wait_line(TIME)
        self.check_it_sleeps(service)
        self.end_service(service)

    def check_it_may_be_there_first(self):
        self.broker.stop()
        service = self.begin(self.service)
        self.restart()
        service.wait_line(TIME)
        self.end_service(service)
