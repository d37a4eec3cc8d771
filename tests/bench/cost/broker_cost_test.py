"""Counts the instructions that the broker spends on a message, and holds them to limits.

    bazel test //tests/bench/cost:broker_cost_test --test_output=all

The real broker runs under callgrind; a publisher and its subscribers are processes of their own,
which find nothing lost or out of order. Callgrind counts all that the broker does in user space,
the libraries' share included, the kernel's not. A figure is the difference of two runs of different
length. It varies by a few with how full the packets happen to be.
"""
import os
import subprocess
import sys
import tempfile
import unittest

from callgrind import CostCase, total

BROKER, LOAD = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
MESSAGES = (50000, 150000)

# What is promised of a message of 64 bytes, from one to one: docs/PERFORMANCE.md.
ROUTE_MOST = 250
MIXED_MOST = 1000


def run_once(messages, *args):
    """Returns the number of instructions of a broker that routes so many."""
    with tempfile.TemporaryDirectory() as room:
        path, address = os.path.join(room, 'out'), os.path.join(room, 'b')
        with subprocess.Popen(
                ['valgrind', '--tool=callgrind', f'--callgrind-out-file={path}', BROKER,
                 '--no-confine', '--listen', address],
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as broker:
            try:
                for line in broker.stderr:
                    if line == 'ready\n':
                        break
                subprocess.run([LOAD, address, str(messages), *args], check=True, timeout=240)
            finally:
                broker.terminate()
                broker.stderr.read()
        return total(path)


def cost(*args):
    """Instructions a message."""
    few, many = (run_once(n, *args) for n in MESSAGES)
    return (many - few) / (MESSAGES[1] - MESSAGES[0])


class Cost(CostCase):
    def test_one_topic(self):
        """64 bytes from one to one."""
        self.check('route', cost('1', '1'), ROUTE_MOST)

    def test_topics_in_turn(self):
        """Eight topics, 16 to 512 bytes: none has the topic of the one before."""
        self.check('route, 8 topics in turn, 16 to 512 bytes', cost('8', '1', '16', '512'),
                   MIXED_MOST)

    def test_topics_in_turn_small(self):
        """The same with 64 bytes."""
        self.check('route, 8 topics in turn', cost('8', '1'))

    def test_many_receivers(self):
        """One to eight."""
        self.check('route to 8', cost('1', '8'))


if __name__ == '__main__':
    unittest.main()
