"""A broker as anybody starts it has given up what it does not need before it says `ready`.

What the filter refuses is attempted in broker/confine_test.c; here the kernel is asked what holds
for a broker that runs. That such a broker still serves is what all other tests here show.
"""

import os
import signal

import harness
from wire_case import PlaceTest, sync

SAYS = "broker: confined by seccomp and Landlock"
# A sanitizer makes calls of its own: then nothing is given up, and it says so.
NOT = "broker: not confined"


def fields(path):
    """A status file of /proc: {name: value}."""
    with open(path, encoding="ascii", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def threads(broker):
    """The status of each thread."""
    tasks = f"/proc/{broker.pid}/task"
    return [fields(f"{tasks}/{number}/status") for number in os.listdir(tasks)]


class Confined(PlaceTest):
    def start(self, *addresses, **options):
        """A broker, and what it said of itself; None if it is built with a sanitizer."""
        broker = self.serve(*(addresses or (self.name, self.path)), **options)
        said = [line for line in broker.said().splitlines() if "confined" in line]
        self.assertEqual(len(said), 1, said)
        return broker, None if "built with" in said[0] else said[0]

    def test_every_thread_has_no_new_privileges_and_a_filter(self):
        broker, said = self.start()
        if not said:
            return
        self.assertTrue(said.startswith(SAYS), said)
        self.assertGreaterEqual(len(threads(broker)), 3)
        for status in threads(broker):
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_it_says_so_before_it_says_that_it_is_ready(self):
        broker, _ = self.start()
        self.assertRegex(broker.said(),
                         r"listening on [^\n]*\nbroker: (not )?confined[^\n]*\nready\n")

    def test_root_s_dumps_no_core_and_another_s_does(self):
        _, said = self.start()
        if said:
            self.assertEqual(said, SAYS + (", dumps no core" if os.geteuid() == 0 else ""))

    def test_it_removes_its_socket_files_and_nothing_else(self):
        os.mkdir(self.at("deep"))
        paths = [self.path, self.at("deep/t"), "stream:" + self.at("u"), "dgram:" + self.at("v")]
        broker, _ = self.start(*paths)
        broker.stop()
        self.assertEqual(sorted(os.listdir(self.directory)), ["deep", "s.lock", "u.lock", "v.lock"])
        self.assertEqual(os.listdir(self.at("deep")), ["t.lock"])

    def test_it_stops_and_goes_on(self):
        broker, _ = self.start()
        broker.process.signal(signal.SIGSTOP)
        broker.process.signal(signal.SIGCONT)
        sync(self.connect(self.path))

    def test_a_default_address_that_cannot_be_served_does_not_keep_it_from_confining_itself(self):
        env = harness.clean_env(BATON_ADDRESS=f"{self.name},{self.at('nowhere/s')}")
        broker = self.serve(self.name, listen=(), env=env)
        self.assertRegex(broker.said(), f"{SAYS}|{NOT}: built")

    def test_it_is_asked_not_to(self):
        broker = self.new_broker("--no-confine", listen=(self.name, self.path))
        self.assertIn(f"{NOT}: --no-confine\nready\n", broker.said())
        ours = fields("/proc/self/status")      # a container may have confined us
        for status in threads(broker):
            for name in ("NoNewPrivs", "Seccomp"):
                self.assertEqual(status[name], ours[name])


if __name__ == "__main__":
    harness.main()
