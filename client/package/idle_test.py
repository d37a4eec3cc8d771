"""What a handle costs is what is said of it (docs/PERFORMANCE.md), and not more.

    bazel test -c opt //client/package:idle_test --test_arg=--handles=1000 --test_output=all
"""

import os
import subprocess
import sys
import tempfile
import unittest

import elf

HANDLES = 200
PROGRAM = "client/package/idle"
KIB = 1024

# Per handle, at most: KiB of heap, KiB resident. A connected one has a packet to receive into and
# one to gather in, 64 KiB each, of which those pages are resident that were ever used.
LIMITS = {
    "not connected": (11, 13),
    "connected, subscribed": (144, 32),
    "after a burst": (144, 36),
    "after full packets": (144, 148),
}


def start_broker(address):
    broker = subprocess.Popen(["broker/broker", "--listen", address], stderr=subprocess.PIPE,
                              text=True)
    while (line := broker.stderr.readline()) != "ready\n":
        if not line:
            raise AssertionError(f"the broker ended: {broker.wait()}")
    return broker


def measure(address):
    """{what: (KiB of heap, KiB resident, descriptors)}, as the program prints it."""
    done = subprocess.run([PROGRAM, address, str(HANDLES)], stdout=subprocess.PIPE, text=True,
                          timeout=50, check=True)
    print(done.stdout)
    costs = {}
    for line in done.stdout.splitlines():
        *words, heap, resident, descriptors = line.split()
        costs[" ".join(words)] = (int(heap) / KIB, int(resident) / KIB, float(descriptors))
    return costs


class Idle(unittest.TestCase):
    def test_a_handle_costs_what_is_said(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            broker = start_broker(os.path.join(directory, "b"))
            try:
                costs = measure(os.path.join(directory, "b"))
            finally:
                broker.terminate()
                broker.communicate(timeout=20)
        self.assertEqual(list(costs), list(LIMITS))
        for what, (heap, resident, descriptors) in costs.items():
            self.assertEqual(descriptors, 0 if what == "not connected" else 1, what)
            if elf.is_instrumented(PROGRAM):
                continue        # the heap is then another one
            self.assertLessEqual(heap, LIMITS[what][0], what)
            self.assertLessEqual(resident, LIMITS[what][1], what)
            self.assertGreater(heap, 1, what)


if __name__ == "__main__":
    for argument in [word for word in sys.argv if word.startswith("--handles=")]:
        sys.argv.remove(argument)
        HANDLES = int(argument.partition("=")[2])
    unittest.main()
