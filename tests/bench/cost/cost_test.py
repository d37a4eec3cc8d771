"""Counts the instructions that the client's library spends on a message, and holds them to limits.

    bazel test //tests/bench/cost:cost_test --test_output=all

Callgrind counts what runs between the entry of a call of baton.h and its return, the C library's
share included, the kernel's not. A figure is the difference of two runs of different length: what
a handle costs to begin with does not count. Receiving comes out the same each time. Publishing
varies by one or two, with when the flusher takes a packet; its own thread is not counted: it does
nothing for most messages.
"""
import os
import subprocess
import sys
import tempfile
import unittest

from callgrind import CostCase, total

CLIENT = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else 'client_cost'
MESSAGES = (10000, 30000)

# What is promised of a message of 64 bytes: docs/PERFORMANCE.md.
PUBLISH_MOST = 150
RECEIVE_MOST = 200


def run_once(counted, *args):
    """Returns the number of messages handled, and of instructions inside the function `counted`."""
    with tempfile.TemporaryDirectory() as room:
        path = os.path.join(room, 'callgrind.out')
        done = subprocess.run(
            ['valgrind', '--tool=callgrind', f'--callgrind-out-file={path}',
             f'--toggle-collect={counted}', CLIENT, *args],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60)
        return int(done.stdout), total(path)


def cost(counted, role, *args):
    """Instructions a message."""
    few, many = (run_once(counted, role, str(n), *args) for n in MESSAGES)
    return (many[1] - few[1]) / (many[0] - few[0])


class Cost(CostCase):
    """64 bytes, one topic unless it is said otherwise."""

    def test_publishing_in_a_plain_loop(self):
        """Without a cork: as a program is written first."""
        self.check('publish', cost('baton_publish', 'publish'), PUBLISH_MOST)

    def test_receiving_full_packets(self):
        """As many to a packet as fit: what comes while the receiver is busy."""
        self.check('receive', cost('baton_process', 'receive'), RECEIVE_MOST)

    def test_receiving_small_packets(self):
        """What a packet costs weighs more here."""
        self.check('receive, 10 a packet', cost('baton_process', 'receive', '10'))

    def test_receiving_topics_in_turn(self):
        """No publication has the topic of the one before."""
        self.check('receive, 2 topics in turn', cost('baton_process', 'receive', '1000', '2'))


if __name__ == '__main__':
    unittest.main()
