"""Mixed sizes, descriptors, address kinds, random kills: nothing is lost, wrong or left over.

Steady clients live from the beginning to the end; mortal ones are killed with SIGKILL at random and
replaced. Every steady subscriber must have every message of every steady publisher, hashes equal,
and of all others an unbroken row. At the end the broker and the steady clients have the descriptors
and mappings that they began with; their resident memory is printed.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import time
import unittest

import harness

SETTLE_S = 60


def client_binary():
    """The path of soak_client."""
    root = os.path.join(os.environ.get("TEST_SRCDIR", "bazel-bin"),
                        os.environ.get("TEST_WORKSPACE", ""))
    return os.path.join(root, "tests/soak/soak_client")


def self_of(pid):
    """Descriptors, mapped memory files and resident KiB of a process."""
    with open(f"/proc/{pid}/maps", "rb") as maps:
        n_maps = maps.read().count(b"/memfd:")
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), n_maps, kib


class Soak:
    """The clients, and what becomes of them."""

    def __init__(self, test, seed):
        self.test, self.random, self.number = test, random.Random(seed), 0
        broker = test.broker
        self.addresses = [broker.address, broker.path, f"stream:{broker.path}-stream"]
        self.publishers, self.subscribers, self.mortals, self.kills = [], [], [], 0

    def start(self, role, address, env=None, **options):
        self.number += 1
        name = f"{role}{self.number}"
        large = self.random.choice([0, 0, 1000, 2 ** 64 - 1])
        process = self.test.start(client_binary(), role, address, name,
                                  self.random.getrandbits(63), large, env=env, **options)
        process.name = name
        process.out.wait_line("ready")
        return process

    def start_steady(self, adopted):
        """Subscribers first: they see all there is. One of them comes in by an inherited socket."""
        env = self.test.broker.env(BATON_FD=str(adopted.fileno()))
        self.subscribers.append(self.start("sub", "", env, pass_fds=[adopted.fileno()]))
        adopted.close()
        self.subscribers += [self.start("sub", address) for address in self.addresses]
        self.publishers += [self.start("pub", address) for address in self.addresses]

    def disturb(self):
        """Kill a mortal, start another, or stop somebody for a moment."""
        what = self.random.random()
        if what < 0.5 and self.mortals:
            victim = self.mortals.pop(self.random.randrange(len(self.mortals)))
            victim.signal(signal.SIGKILL)
            victim.wait()
            victim.end()
            self.test._processes.remove(victim)
            self.kills += 1
        elif len(self.mortals) < 5:
            role = self.random.choice(["pub", "sub"])
            self.mortals.append(self.start(role, self.random.choice(self.addresses)))
        else:
            sleeper = self.random.choice(self.subscribers + self.mortals)
            sleeper.signal(signal.SIGSTOP)
            time.sleep(self.random.random() / 2)
            sleeper.signal(signal.SIGCONT)

    def finish(self):
        """End the publishers in order, then the subscribers; their reports."""
        for mortal in self.mortals:
            mortal.signal(signal.SIGKILL)
            mortal.wait()
            self.kills += 1
        for publisher in self.publishers:
            publisher.signal(signal.SIGTERM)
        sent = [json.loads(p.result(SETTLE_S).out.splitlines()[-1]) for p in self.publishers]
        self.test.expect(0, "pub", "--confirm", "soak.stop")
        return sent, [json.loads(s.result(SETTLE_S).out.splitlines()[-1])
                      for s in self.subscribers]


class SoakTest(harness.TestCase):
    seconds, seed = 4.0, 1

    def setUp(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.adopted = ours
        self.broker = harness.Broker()
        self.broker.options = ("--listen", f"stream:{self.broker.path}-stream",
                               "--client-fd", str(theirs.fileno()))
        self.addCleanup(self.broker.remove)
        self._processes = []
        self.addCleanup(self._end)
        os.set_inheritable(theirs.fileno(), True)
        self.broker.start(pass_fds=[theirs.fileno()])
        self.broker.expected_fds -= 1   # the adopted client leaves
        theirs.close()

    def check_complete(self, sent, received):
        """Every steady subscriber has all of every steady publisher, and no holes elsewhere."""
        for report in received:
            for publisher in sent:
                first, last, count, everything, is_done = report["from"][publisher["name"]]
                self.assertEqual((first, last, count, everything, is_done),
                                 (1, publisher["sent"], publisher["sent"], publisher["all"], 1),
                                 (publisher["name"], report["name"]))
                self.assertEqual(publisher["confirmed"], publisher["sent"])
            for name, (first, last, count, _, _) in report["from"].items():
                self.assertEqual((first, count), (1, last), (name, report["name"]))

    def check_self(self, reports):
        """Nobody has more descriptors than at the beginning, nor a payload still mapped."""
        for report in reports:
            (fds, fds_now), (maps, maps_now) = report["fds"], report["maps"]
            self.assertLessEqual(fds_now, fds, report["name"])
            self.assertEqual((maps, maps_now), (0, 0), report["name"])

    def test_nothing_is_lost_wrong_or_left_over(self):
        before = self_of(self.broker.pid)
        soak = Soak(self, self.seed)
        soak.start_steady(self.adopted)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            soak.disturb()
            time.sleep(soak.random.random() / 5)
        sent, received = soak.finish()
        self.check_complete(sent, received)
        self.check_self(sent + received)
        self.broker.check()
        after = self_of(self.broker.pid)
        for report in sent + received:
            print({key: value for key, value in report.items() if key != "from"})
        print(f"seed {self.seed}, {self.seconds} s, {soak.kills} kills; the broker before "
              f"and after (descriptors, payloads mapped, KiB): {before} {after}")
        self.assertEqual((before[1], after[1]), (0, 0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options, rest = parser.parse_known_args()
    SoakTest.seconds, SoakTest.seed = options.seconds, options.seed
    print(f"--seed={options.seed}", flush=True)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
