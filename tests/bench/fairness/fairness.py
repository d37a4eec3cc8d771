"""How much one attacker costs everybody else: for each way to attack, ratios of a victim's round
trips (median, 99th percentile) and of its stream to those beside nothing, and beside a process that
only spins: a machine of few processors has that much less for the victim, whoever uses it up.

    bazel run -c opt //tests/bench/fairness [-- --rounds N] [--uid UID] [MODE]...

The attacker is another user, or with --uid 0 the same.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import harness

MODES = ("spin", "flood", "tiny", "big", "many", "churn", "requests", "retained", "fds", "large",
         "connect", "silent", "deaf", "ping")
ATTACKER = 65534
# What an ordinary user might be let do; the quotas are the broker's own.
POLICY = "[user {}]\npublish = attack.>\nretain = attack.>\nsend-fds = attack.>\n" \
         "subscribe = attack.> victim.>\n"
PACKAGE = "tests/bench/fairness"


def measure(address, mode, args):
    """(median ns, 99th percentile ns, messages a second)"""
    attacker = None
    if mode:
        attacker = subprocess.Popen(
            [harness.binary("attacker", PACKAGE), address, mode, str(args.uid)],
            stdout=subprocess.PIPE)
        if not attacker.stdout.read(1):
            sys.exit(f"{mode}: it did not begin")
    done = subprocess.run(
        [harness.binary("victim", PACKAGE), address, str(args.trips), str(args.messages)],
        stdout=subprocess.PIPE, check=True, timeout=600)
    if attacker:
        if attacker.poll() is not None:
            print(f"{mode}: the attacker gave up", file=sys.stderr)
        attacker.kill()
        attacker.wait()
    return tuple(map(float, done.stdout.split()))


def median(rows):
    """Of each column."""
    return [statistics.median(column) for column in zip(*rows)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trips", type=int, default=5000)
    parser.add_argument("--messages", type=int, default=500000)
    parser.add_argument("--uid", type=int, default=ATTACKER)
    parser.add_argument("modes", nargs="*", default=[])
    args = parser.parse_args()
    modes = ["spin"] + [mode for mode in args.modes or MODES if mode != "spin"]
    address = f"@baton-fairness-{os.getpid()}"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as policy:
        policy.write(POLICY.format(args.uid))
        policy.flush()
        with subprocess.Popen([harness.binary("broker"), "--listen", address, "--policy",
                               policy.name], stderr=subprocess.PIPE) as broker:
            while b"ready" not in broker.stderr.readline():
                pass
            rows = {mode: [] for mode in [None, *modes]}
            try:
                for _ in range(args.rounds):
                    for mode, measured in rows.items():
                        measured.append(measure(address, mode, args))
            finally:
                broker.terminate()
    idle, spin = median(rows[None]), median(rows["spin"])
    print(f"alone: median {idle[0] / 1000:.1f} us, 99 % {idle[1] / 1000:.1f} us, "
          f"{idle[2] / 1e6:.2f} M messages/s; {args.rounds} rounds\n")
    print(f"{'attack':10} {'median':>8} {'99 %':>8} {'stream':>8}   "
          f"{'beside spin:':>12} {'median':>7} {'99 %':>8} {'stream':>8}")
    for mode in modes:
        row = median(rows[mode])
        print(f"{mode:10} " + " ".join(f"{x / y:8.2f}" for x, y in zip(row, idle)) + " " * 17
              + " ".join(f"{x / y:8.2f}" for x, y in zip(row, spin)))


if __name__ == "__main__":
    main()
