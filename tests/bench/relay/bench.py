"""Baton beside the least that a bus over the same sockets can do: a relay that forwards whole
packets and looks into none (relay.c). Prints medians over interleaved rounds, and their ratios.

    bazel run -c opt //tests/bench [-- --rounds N] [WORKLOAD]...

Every message is numbered and compared. Broker, relay, publisher and subscribers are processes of
their own; round trips are measured with all of them on one processor, else they would measure how
long it takes to wake another one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import harness

PACKAGE = "tests/bench/relay"
DURATION_MS = 1000
UNLIMITED = 1 << 60


class Run:
    """Processes of one measurement, ended with it."""

    def __init__(self, directory, carrier, one_processor=False):
        self.carrier, self.children = carrier, []
        self.address = os.path.join(directory, f"{carrier}-{os.getpid()}")
        self.prefix = ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if one_processor else []
        if carrier in ("baton", "plain"):
            words = [harness.binary("broker"), "--listen", self.address]
        else:
            words = [harness.binary("relay", PACKAGE), self.address]
        self.broker = subprocess.Popen([*self.prefix, *words], stderr=subprocess.PIPE)
        while b"ready" not in self.broker.stderr.readline():
            pass

    def start(self, *words):
        child = subprocess.Popen(
            [*self.prefix, harness.binary("load", PACKAGE), self.carrier, self.address,
             *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.children.append(child)
        if child.stdout.readline() != b"ready\n":
            sys.exit(f"{self.carrier} {words}: it did not begin")
        return child

    @staticmethod
    def numbers(child):
        line = child.stdout.readline()
        if not line:
            sys.exit("somebody failed")
        return tuple(map(int, line.split()))

    @staticmethod
    def go(child):
        child.stdin.write(b"\n")
        child.stdin.flush()

    def close(self):
        for process in [*self.children, self.broker]:
            process.kill()
            process.wait()
        if os.path.exists(self.address):
            os.unlink(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stream(directory, carrier, size, receivers=1, most=UNLIMITED, fd=False):
    """Messages that arrived, a second."""
    with Run(directory, carrier) as run:
        subs = [run.start("sub", size) for _ in range(receivers)]
        pub = run.start("pub", size, DURATION_MS, most, *(["fd"] if fd else []))
        run.go(pub)
        heard = [run.numbers(sub) for sub in subs]
        sent, start = run.numbers(pub)
        if any(n != sent for n, _ in heard):
            sys.exit(f"{carrier}: {sent} were sent, and {heard} arrived")
        return sum(n for n, _ in heard) * 1e9 / (max(last for _, last in heard) - start)


def trips(directory, carrier, size):
    """Microseconds: median, and 99th percentile."""
    with Run(directory, carrier, one_processor=True) as run:
        run.start("echo", size)
        ping = run.start("ping", size, 20000)
        run.go(ping)
        return tuple(ns / 1000 for ns in run.numbers(ping))


# name: what it is, unit, the bare carrier beside it, how it is measured
WORKLOADS = {
    "small": ("64 B, 1 to 1, corked", "M/s", "baton", "raw",
              lambda d, c: stream(d, c, 64) / 1e6),
    "plain": ("64 B, 1 to 1, a plain loop", "M/s", "plain", "raw",
              lambda d, c: stream(d, c, 64) / 1e6),
    "fanout": ("64 B, 1 to 8", "M/s", "baton", "raw",
               lambda d, c: stream(d, c, 64, receivers=8) / 1e6),
    "medium": ("1 KiB, 1 to 1", "M/s", "baton", "raw",
               lambda d, c: stream(d, c, 1024) / 1e6),
    "16k": ("16 KiB, 1 to 1", "k/s", "baton", "raw",
            lambda d, c: stream(d, c, 16384) / 1e3),
    "large": ("16 MiB, 1 to 1", "MB/s", "baton", "raw",
              lambda d, c: stream(d, c, 16 << 20, most=100) * (16 << 20) / 1e6),
    "large8": ("16 MiB, 1 to 8", "MB/s", "baton", "raw",
               lambda d, c: stream(d, c, 16 << 20, receivers=8, most=50) * (16 << 20) / 1e6),
    "fds": ("a descriptor a message", "k/s", "baton", "single",
            lambda d, c: stream(d, c, 64, fd=True) / 1e3),
    "trip": ("round trip, median", "us", "plain", "single", lambda d, c: trips(d, c, 64)[0]),
    "trip99": ("round trip, 99 %", "us", "plain", "single", lambda d, c: trips(d, c, 64)[1]),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("workloads", nargs="*", default=[])
    args = parser.parse_args()
    names = args.workloads or list(WORKLOADS)
    rows = {name: ([], []) for name in names}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(args.rounds):
            for name in names:
                *_, ours, bare, measure = WORKLOADS[name]
                for column, carrier in zip(rows[name], (ours, bare)):
                    column.append(measure(directory, carrier))
    print(f"{'':28} {'Baton':>22} {'bare relay':>22} {'ratio':>7}   "
          f"median (least-most) of {args.rounds} rounds")
    for name, columns in rows.items():
        what, unit, *_ = WORKLOADS[name]
        cells = [f"{statistics.median(c):.3g} ({min(c):.3g}-{max(c):.3g})" for c in columns]
        ratio = statistics.median(columns[0]) / statistics.median(columns[1])
        print(f"{what + ', ' + unit:28} {cells[0]:>22} {cells[1]:>22} {ratio:7.2f}")


if __name__ == "__main__":
    main()
