"""What end-to-end tests share: a broker of their own, programs, and waiting with a deadline.

    class GreetingTest(harness.TestCase):
        def test_a_message_arrives(self):
            sub = self.start("sub", "-v", "-n", "1", "greetings.>")
            sub.wait_line("ready", stream="err")
            self.expect(0, "pub", "greetings.world", "hello")
            sub.wait_line("greetings.world hello")
            self.assertEqual(sub.wait(), 0)

Every TestCase has a broker on a fresh address and a fresh path. When a test is over, whatever it
started is ended, and the broker must be alive, have as many descriptors as it began with, and exit
with 0 on SIGTERM. Nothing here sleeps; everything that waits gives up after a deadline.

BATON_TEST_PORTABLE in the environment says that the portable build is tested (docs/PORTING.md), and
BATON_TEST_ADDRESS_KIND which kind of address: abstract, seqpacket or stream (both of them paths).
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from collections import namedtuple
from pathlib import Path

from child import eventually

DEADLINE_S = 20
MAX_PATH_BYTES = 100            # of sun_path, with room for the broker's PATH.new

IS_PORTABLE = bool(os.environ.get("BATON_TEST_PORTABLE"))
KIND = os.environ.get("BATON_TEST_ADDRESS_KIND") or ("seqpacket" if IS_PORTABLE else "abstract")

SANITIZER = re.compile(rb"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|runtime error: ")

Result = namedtuple("Result", "status out err")

_numbers = itertools.count(1)


class Timeout(AssertionError):
    """What was waited for did not come in time."""


def binary(name, package="client/cli"):
    """The path of a program: "broker", or a tool of //client/cli, or what a test brings along."""
    path = Path("broker/broker" if name == "broker" else f"{package}/{name}")
    roots = [Path(os.environ.get("TEST_SRCDIR", "/nonexistent"),
                  os.environ.get("TEST_WORKSPACE", "baton")),
             Path(__file__).absolute().parents[2],
             Path(__file__).absolute().parents[2] / "bazel-bin"]
    for root in roots:
        if (root / path).is_file():
            return str(root / path)
    raise FileNotFoundError(f"{path} is in none of {[str(root) for root in roots]}")


def clean_env(**more):
    """Our environment without what would lead a tool elsewhere; None removes a name."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("BATON_", "XDG_", "BUILD_", "RUNFILES_"))}
    env.update(more)
    return {name: value for name, value in env.items() if value is not None}


def new_address(directory):
    """An address of the KIND under test that nobody has; `directory` is for it if it is a path."""
    if KIND == "abstract":
        return f"@baton-test-{os.getpid()}-{next(_numbers)}"
    prefix = {"seqpacket": "", "stream": "stream:"}[KIND]
    return f"{prefix}{os.path.join(directory, str(next(_numbers)))}"


# What clients say of a new_address.
NOBODY_THERE = ("connection refused" if KIND == "abstract" else "no such socket"
                ) + " (is the broker running?)"


def pid_said(pid):
    """The number of a process as the broker learns it: the portable build does not."""
    return 0 if IS_PORTABLE else pid


def who(pid, uid):
    """How the programs name a process."""
    return f"uid {uid}" if IS_PORTABLE else f"pid {pid} (uid {uid})"


class Lines:
    """A stream of a process, read by a thread of its own, so that the process never blocks."""

    def __init__(self, file):
        self._file = file
        self._data = bytearray()
        self._position = 0          # behind the last line that was given
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            piece = os.read(self._file.fileno(), 1 << 16)
            with self._changed:
                self._data += piece
                self._is_over = not piece
                self._changed.notify_all()
            if not piece:
                return

    def _wait(self, what, find, timeout):
        with self._changed:
            found = None

            def is_there():
                nonlocal found
                found = find()
                return found is not None or self._is_over

            if not self._changed.wait_for(is_there, timeout) or found is None:
                raise Timeout(f"no {what} in {bytes(self._data[-2000:])!r}")
            return found

    def _take_line(self):
        end = self._data.find(b"\n", self._position)
        if end < 0:
            return None
        line = bytes(self._data[self._position:end])
        self._position = end + 1
        return line.decode("utf-8", "surrogateescape")

    def next_line(self, timeout=DEADLINE_S):
        """The next line, without its newline."""
        return self._wait("line", self._take_line, timeout)

    def wait_line(self, wanted, timeout=DEADLINE_S):
        """Skip to the next line that is `wanted`, or matches it if it is a compiled pattern."""
        def find():
            while (line := self._take_line()) is not None:
                if wanted.fullmatch(line) if isinstance(wanted, re.Pattern) else line == wanted:
                    return line
            return None
        return self._wait(f"line {wanted!r}", find, timeout)

    def wait_bytes(self, count, timeout=DEADLINE_S):
        """Wait until `count` bytes have come in all, and return all that has."""
        return self._wait(f"{count} bytes", lambda: bytes(self._data)
                          if len(self._data) >= count else None, timeout)

    def rest(self):
        """Everything that came, after the end of the stream."""
        self._thread.join(DEADLINE_S)
        if self._thread.is_alive():
            raise Timeout("the stream does not end")
        return bytes(self._data)

    def close(self):
        """Close the file, once the stream has ended."""
        self._thread.join(DEADLINE_S)
        self._file.close()


class Process:
    """A program that runs. `out` and `err` are its Lines; `stdin` is a raw binary file."""

    def __init__(self, command, env, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
        self._popen = subprocess.Popen(command, stderr=subprocess.PIPE, bufsize=0, env=env,
                                       **options)
        self.pid, self.stdin = self._popen.pid, self._popen.stdin
        self.out = Lines(self._popen.stdout) if self._popen.stdout else None
        self.err = Lines(self._popen.stderr)

    def wait_line(self, wanted, stream="out", timeout=DEADLINE_S):
        """Wait for a line on stdout or ("err") stderr; see Lines.wait_line."""
        return getattr(self, stream).wait_line(wanted, timeout)

    def is_running(self):
        return self._popen.poll() is None

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=DEADLINE_S):
        """Its exit status; negative if a signal killed it."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self._popen.args[0]} does not end; "
                          f"stderr: {bytes(self.err._data[-2000:])!r}") from None

    def result(self, timeout=DEADLINE_S):
        """Close its stdin, wait for its end, and return its Result."""
        self.close_stdin()
        status = self.wait(timeout)
        return Result(status, self.out.rest() if self.out else b"", self.err.rest())

    def close_stdin(self):
        if self.stdin and not self.stdin.closed:
            self.stdin.close()

    def end(self):
        """Kill it if it still runs, and let go of everything."""
        if self.is_running():
            self._popen.kill()
        self._popen.wait()
        self.close_stdin()
        for lines in (self.out, self.err):
            if lines:
                lines.close()


def command_of(tool, arguments):
    """A tool by its name, or any program by its path."""
    return [tool if "/" in tool else binary(tool), *map(str, arguments)]


def popen(tool, *arguments, env=None, **options):
    """Start a program; the caller calls end() on what it gets."""
    return Process(command_of(tool, arguments), env or clean_env(), **options)


def run(tool, *arguments, stdin=b"", env=None, timeout=DEADLINE_S, **options):
    """Run a program to its end and return its Result."""
    done = subprocess.run(command_of(tool, arguments), input=stdin, env=env or clean_env(),
                          capture_output=True, timeout=timeout, check=False, **options)
    return Result(done.returncode, done.stdout, done.stderr)


def short_tmpdir():
    """A fresh directory whose name leaves room for a socket's: $TEST_TMPDIR if that is short."""
    parent = os.environ.get("TEST_TMPDIR", "/tmp")
    if len(parent) > MAX_PATH_BYTES - 30:
        parent = "/tmp"
    return tempfile.mkdtemp(prefix="baton-", dir=parent)


class Broker:
    """A broker on addresses of its own. start() may be called again after stop() or kill()."""

    def __init__(self, *options):
        self.directory = short_tmpdir()
        self.address = new_address(self.directory)
        self.path = os.path.join(self.directory, "b")
        self.options = options
        self.process = None
        self.expected_fds = 0       # when nobody is connected

    def start(self, **options):
        self.process = popen("broker", "--listen", self.address, "--listen", self.path,
                             *self.options, **options)
        self.process.wait_line("ready", "err")
        # When it is started again, clients that were waiting for it may be there already.
        self.expected_fds = self.expected_fds or self.count_fds()

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return bool(self.process) and self.process.is_running()

    def env(self, **more):
        """The environment for a tool that shall find this broker."""
        return clean_env(**{"BATON_ADDRESS": self.address, **more})

    def count_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stat(self):
        """Fields of /proc/PID/stat, from the state on."""
        return Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()

    def pause(self):
        """It stands still, until it shall go on; what comes meanwhile waits for it."""
        self.process.signal(signal.SIGSTOP)
        eventually(lambda: self.stat()[0] == "T", "the broker is stopped")

    def go_on(self):
        self.process.signal(signal.SIGCONT)

    def status(self):
        """The broker's own report, by `status --json`."""
        result = run("status", "--json", env=self.env())
        if result.status:
            raise AssertionError(f"status: {result}")
        return json.loads(result.out)

    def wait_status(self, is_wanted, what="state"):
        """Ask for reports until `is_wanted(report)`."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_wanted(report := self.status()):
            if time.monotonic() > deadline:
                raise Timeout(f"the broker does not reach the {what}: {report}")
        return report

    def check(self):
        """It is alive, and nothing is left of those who have gone."""
        assert self.is_running(), f"the broker has ended: {self.process.result()}"
        self.wait_status(lambda report: report["sessions"] == 1, "end of all sessions")
        # Not by asking on: what has gone is closed a little later, and who asks goes, too.
        deadline = time.monotonic() + DEADLINE_S
        while (count := self.count_fds()) != self.expected_fds:
            if time.monotonic() > deadline:
                raise Timeout(f"the broker had {self.expected_fds} descriptors and has {count}")
            time.sleep(0.001)

    def stop(self):
        """SIGTERM, as an administrator would; the exit status must be 0."""
        self.process.signal(signal.SIGTERM)
        result = self.process.result()
        assert result.status == 0, f"the broker exited with {result}"
        self.process.end()

    def kill(self):
        """SIGKILL."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()
        self.process.end()

    def remove(self):
        """The last of it: ends what runs, removes its directory."""
        if self.process:
            self.process.end()
        shutil.rmtree(self.directory, ignore_errors=True)


class TestCase(unittest.TestCase):
    """A test with a broker of its own (`broker_options`: its command line)."""

    broker_options = ()
    maxDiff = None

    def setUp(self):
        self.broker = Broker(*self.broker_options)
        self.addCleanup(self.broker.remove)
        self._processes = []
        self.addCleanup(self._end)      # before the broker is removed
        self.broker.start()

    def _end(self):
        for process in self._processes:
            process.end()
            self.assertIsNone(SANITIZER.search(process.err.rest()), process.err.rest())
        # A test may have killed it on purpose; else it must be well.
        if self.broker.is_running():
            self.broker.check()
            self.broker.stop()

    def start(self, tool, *arguments, env=None, **options):
        """Start a tool that finds the broker; it is ended with the test."""
        process = popen(tool, *arguments, env=env or self.broker.env(), **options)
        self._processes.append(process)
        return process

    def start_ready(self, tool, *arguments, **options):
        """Start sub or serve with -v and wait until the broker has confirmed."""
        process = self.start(tool, "-v", *arguments, **options)
        process.wait_line("ready", "err")
        return process

    def run_tool(self, tool, *arguments, env=None, **options):
        """Run a tool that finds the broker, to its end."""
        return run(tool, *arguments, env=env or self.broker.env(), **options)

    def expect(self, status, tool, *arguments, err=None, **options):
        """Run a tool; its exit status, and its stderr if `err` is given, must be these.

        `err` is the one line that is expected, or b"" for none. Returns its stdout.
        """
        result = self.run_tool(tool, *arguments, **options)
        self.assertEqual(result.status, status, result)
        if err is not None:
            self.assertEqual(result.err.decode(), err + "\n" if err else "")
        return result.out

    def tmpdir(self):
        """A fresh directory that goes with the test."""
        directory = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory)


def main():
    """Run the tests of the calling module."""
    unittest.main(verbosity=2)
