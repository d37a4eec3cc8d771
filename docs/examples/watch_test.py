"""The example that is told what it has lost."""

import os
import re
import signal

import harness
from example_case import ExampleTest


class WatchTest(ExampleTest):
    """Lost messages: a datagram cannot wait for a receiver that does not read."""

    broker_options = ("--limit", "queue_messages=1")

    def setUp(self):
        super().setUp()
        self.datagrams = os.path.join(self.broker.directory, "d")
        self.broker.stop()
        self.broker.options += ("--listen", f"dgram:{self.datagrams}")
        self.broker.expected_fds = 0        # more than before
        self.broker.start()

    def test_what_is_lost_is_told_in_its_place(self):
        watch = self.begin("watch", "flood.>")
        watch.wait_line("watching flood.>")
        flood = ["-a", f"dgram:{self.datagrams}", "--count", "1000", "flood.more",
                 "x" * 1000]
        watch.signal(signal.SIGSTOP)
        while not self.broker.status()["dropped"]:
            self.run_tool("pub", *flood)        # that it fails when the socket is full is fine
        watch.signal(signal.SIGCONT)
        line = watch.wait_line(re.compile(r"[0-9]+ lost of flood\.>: .+"))
        self.assertIn("overflow", line)


if __name__ == "__main__":
    harness.main()
