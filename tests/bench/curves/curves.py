"""How the cost of a message grows with everything that can grow: a table and a picture for each.

    bazel run -c opt //tests/bench/curves -- DIRECTORY [--rounds N] [CURVE]...

What is drawn is the broker's own processor time a delivered message (user and system), the median
of the rounds: it depends far less on what else the machine does than the rate does, which is in
the tables beside it. Payloads are drawn as MB/s read. Pictures need Debian's gnuplot-nox.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import harness

PACKAGE = "tests/bench/curves"
LIMITS = ("subscriptions=2000000", "sessions=20000", "unready=20000", "queue_messages=1000000")
POWERS = [10 ** n for n in range(7)]
SMALL = {"messages": 300000}


def cpu_ns(pid):
    """Processor time of another process: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


class Broker:
    """For one measurement."""

    def __init__(self, directory):
        self.address = os.path.join(directory, "broker")
        words = [word for limit in LIMITS for word in ("--limit", limit)]
        self.process = subprocess.Popen(
            [harness.binary("broker"), "--listen", self.address, *words], stderr=subprocess.PIPE)
        self.holders = []
        while b"ready" not in self.process.stderr.readline():
            pass

    def start(self, *words):
        child = subprocess.Popen(
            [harness.binary("curve", PACKAGE), self.address, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if child.stdout.readline() != b"ready\n":
            sys.exit(f"{words}: it did not begin")
        return child

    def hold(self, count, sessions, form):
        self.holders.append(self.start("hold", count, sessions, form))

    def run(self, **options):
        """(broker's ns a delivery, deliveries a second)"""
        return self.time("run", *(f"{name}={value}" for name, value in options.items()))

    def time(self, *words):
        child = self.start(*words)
        before = cpu_ns(self.process.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        line = child.stdout.readline()
        used = cpu_ns(self.process.pid) - before
        child.stdin.close()
        if child.wait() or not line:
            sys.exit(f"{words}: it failed")
        deliveries, took = map(int, line.split())
        return used / deliveries, deliveries * 1e9 / took

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.holders, self.process]:
            process.kill()
            process.wait()
        os.unlink(self.address)


def beside(form, sessions=1, **options):
    """x subscriptions that match nothing."""
    def measure(broker, count):
        broker.hold(count, sessions, form)
        return broker.run(**SMALL, **options)
    return measure


def over(name, messages=300000, **options):
    """One option of the run is x."""
    return lambda broker, x: broker.run(**{"messages": messages, **options, name: x})


def idle(broker, sessions):
    broker.hold(sessions, sessions, "idle.#")
    return broker.run(**SMALL)


def fanout(broker, receivers):
    return broker.run(messages=max(3000000 // receivers, 2000) // 4, receivers=receivers)


def trips(broker, pairs):
    return broker.time("trips", pairs, 100000 // pairs)


def publishers(broker, count, spread=False):
    return broker.run(**SMALL, publishers=count, topics=count if spread else 1)


def payload(receivers, placed):
    def measure(broker, size):
        messages = max(2, min(100000, (400 << 20) // size // receivers))
        used, rate = broker.run(size=size, messages=messages, receivers=receivers,
                                placed=placed or 1 << 40)
        return used, rate * size / 1e6
    return measure


SHAPES = {"exact: other.N": "other.#", "star: sN.*": "s#.*", "star first: *.N": "*.x#",
          "tail: sN.>": "s#.>", "deep: a.b.c.d.e.f.g.N": "a.b.c.d.e.f.g.#"}
INLINE = [16 * 4 ** n for n in range(6)] + [60000]
PLACED = [4 ** n for n in range(6, 15)]
FEATURES = ["", "ttl", "headers", "confirm", "retain", "group", "ack"]

# name: (title, what x is, xs, {line: how it is measured})
CURVES = {
    "subscriptions": ("Unrelated subscriptions, one topic", "subscriptions", POWERS,
                      {name: beside(form) for name, form in SHAPES.items()}),
    "subscriptions-new": ("Unrelated subscriptions, every topic for the first time",
                          "subscriptions", POWERS,
                          {name: beside(form, topics=300000) for name, form in SHAPES.items()}),
    "topics": ("Distinct topics, round-robin", "topics", POWERS,
               {"broker": over("topics", messages=2000000)}),
    "sessions": ("Idle sessions", "sessions", [10, 100, 1000, 9000], {"broker": idle}),
    "fanout": ("Receivers of each message", "receivers", [1, 3, 10, 30, 100, 300, 1000],
               {"broker": fanout}),
    "publishers": ("Publishers in turn", "publishers", [2 ** n for n in range(7)],
                   {"one topic": publishers,
                    "a topic each": lambda b, n: publishers(b, n, True)}),
    "lone": ("Messages alone in their packets", "under way at a time", [2 ** n for n in range(9)],
             {"broker": trips}),
    "payload": ("Payload, MB/s read", "bytes", INLINE + [size for size in PLACED if size > 60000],
                {"inline, 1 receiver": payload(1, 0), "inline, 8 receivers": payload(8, 0),
                 "memfd, 1 receiver": payload(1, 1), "memfd, 8 receivers": payload(8, 1)}),
    "features": ("What a message costs with", "", FEATURES,
                 {"broker": lambda b, feature: b.run(messages=100000, feature=feature)}),
}


def is_possible(line, x):
    """Of payloads: what fits a frame, and where a memory file is worth a try."""
    if line.startswith("inline"):
        return x <= 60000
    return not line.startswith("memfd") or x >= 4096


def measure(name, rounds, directory):
    """{(line, x): [(ns, rate)]}"""
    points = {}
    _, _, xs, lines = CURVES[name]
    for _ in range(rounds):
        for line, measured in lines.items():
            for x in xs:
                if is_possible(line, x):
                    with Broker(directory) as broker:
                        points.setdefault((line, x), []).append(measured(broker, x))
    return points


def write_table(path, name, points):
    """Rows of x, columns of lines: ns and rate of each; - where there is none."""
    _, what, xs, lines = CURVES[name]
    with open(path, "w", encoding="ascii") as file:
        heads = [f'"{line}"\t"{line}: rate"' for line in lines]
        file.write("\t".join([what or "feature", *heads]) + "\n")
        for x in xs:
            cells = [str(x) if x != "" else "plain"]
            for line in lines:
                at = points.get((line, x))
                cells += [f"{statistics.median(column):.4g}" for column in zip(*at)] if at \
                    else ["-", "-"]
            file.write("\t".join(cells) + "\n")


def draw(directory, name):
    title, what, _, lines = CURVES[name]
    rate = 1 if name == "payload" else 0
    text = [f'set title "{title}"', 'set terminal svg size 720,400 background "white"',
            f'set output "{name}.svg"', "set key outside below", "set grid",
            'set datafile separator "\\t"', 'set datafile missing "-"',
            f'set ylabel "{"MB/s" if rate else "ns a delivered message"}"',
            "set yrange [0:*]" if name in ("features", "fanout") else "set logscale y"]
    if name == "features":
        text += ["set style fill solid 0.5", "unset key", "set boxwidth 0.6",
                 f'plot "{name}.tsv" every ::1 using 0:2:xtic(1) with boxes']
    else:
        text += ["set logscale x", f'set xlabel "{what}"', "plot " + ", ".join(
            f'"{name}.tsv" every ::1 using 1:{2 + 2 * i + rate} with linespoints title "{line}"'
            for i, line in enumerate(lines))]
    subprocess.run(["gnuplot"], input="\n".join(text), text=True, cwd=directory, check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("curves", nargs="*", default=[])
    args = parser.parse_intermixed_args()
    names = args.curves or list(CURVES)
    target = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", "."), args.directory)
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            points = measure(name, args.rounds, directory)
            write_table(os.path.join(target, f"{name}.tsv"), name, points)
            draw(target, name)
            print(name, flush=True)


if __name__ == "__main__":
    main()
