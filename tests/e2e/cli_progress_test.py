"""What large payloads cost: a line on a terminal that comes and goes, and no memory."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading

import harness
from child import eventually
from large_case import KIB, LARGE_S, MIB, WAYS, LargeCase


def peak_kib(pid):
    """The most memory that a process has had so far."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1])


def tail(path):
    """The last bytes of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 500))
        return file.read()


class Terminal:
    """The other side of a pseudo terminal: what is written there, and what then can be seen."""

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._written = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                self._written += os.read(self.ours, 1 << 16)
            except OSError:             # nobody has it any more
                return

    def end(self):
        """What was written, after everybody has closed it."""
        os.close(self.theirs)
        self._thread.join(harness.DEADLINE_S)
        os.close(self.ours)
        return bytes(self._written)

    @staticmethod
    def seen(written):
        """What stands on the screen then, line by line."""
        lines, column = [[]], 0
        for char in written.decode():
            if char == "\r":
                column = 0
            elif char == "\n":
                lines.append([])
            else:
                lines[-1][column:column + 1] = char
                column += 1
        return ["".join(line).rstrip() for line in lines]


class ProgressTest(LargeCase):

    def on_terminal(self, tool, *arguments, **options):
        """Run a tool with stderr on a terminal; return what it wrote there."""
        terminal = Terminal()
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
        process = subprocess.Popen([harness.binary(tool), *map(str, arguments)],
                                   env=self.broker.env(), stderr=terminal.theirs, **options)
        self.assertEqual(process.wait(LARGE_S), 0)
        return terminal.end()

    def check_drawn(self, written, pattern):
        shown = re.findall(pattern, written)
        self.assertTrue(shown, written)
        self.assertEqual(Terminal.seen(written)[-1], "")         # and nothing is left of it
        return shown

    def test_pub_draws_how_far_it_is_and_wipes_it_out(self):
        path = self.file_of(32 * MIB)
        for arguments in WAYS:
            written = self.on_terminal("pub", *arguments, "-f", path, "t")
            self.check_drawn(written, rb"/[\w./-]+: +\d+%, \d+\.\d of 33\.6 MB, \d+ MB/s")
            with open(path, "rb") as stdin:
                written = self.on_terminal("pub", *arguments, "t", "-", stdin=stdin)
            self.check_drawn(written, rb"stdin: +\d+%, \d+\.\d of 33\.6 MB, \d+ MB/s")
            feeder = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
            written = self.on_terminal("pub", *arguments, "t", "-", stdin=feeder.stdout)
            feeder.stdout.close()
            self.assertEqual(feeder.wait(), 0)
            self.check_drawn(written, rb"stdin: \d+\.\d MB, \d+ MB/s")

    def test_it_is_drawn_ten_times_a_second_at_most(self):
        read, write = os.pipe()
        terminal = Terminal()
        pub = subprocess.Popen([harness.binary("pub"), "t", "-"], env=self.broker.env(),
                               stderr=terminal.theirs, stdin=read)
        os.close(read)
        began = os.times().elapsed
        for _ in range(64):
            os.write(write, bytes(MIB))
        os.close(write)
        self.assertEqual(pub.wait(LARGE_S), 0)
        took = os.times().elapsed - began
        shown = self.check_drawn(terminal.end(), rb"stdin: \d+\.\d MB, \d+ MB/s")
        self.assertLessEqual(len(shown), took * 10 + 2)

    def test_sub_draws_it_while_it_writes_to_something_else(self):
        path = self.file_of(32 * MIB)
        for option in ("--raw", "--json"):
            terminal = Terminal()
            out = self.path()
            with open(out, "wb") as file:
                sub = subprocess.Popen([harness.binary("sub"), option, "-n", "1", "topic"],
                                       env=self.broker.env(), stdout=file, stderr=terminal.theirs)
            self.broker.wait_status(lambda report: report["subscriptions"] == 1)
            self.expect(0, "pub", "-f", path, "topic", err="")
            self.assertEqual(sub.wait(LARGE_S), 0)
            self.check_drawn(terminal.end(), rb"topic: +\d+%, \d+\.\d of 33\.6 MB, \d+ MB/s")

    def test_small_payloads_draw_nothing(self):
        path = self.file_of(8 * MIB)
        self.assertEqual(self.on_terminal("pub", "-f", path, "t"), b"")
        with open(path, "rb") as stdin:
            self.assertEqual(self.on_terminal("pub", "t", "-", stdin=stdin), b"")

    def test_an_error_stands_alone(self):
        path = self.file_of(32 * MIB)
        terminal = Terminal()
        pub = subprocess.Popen([harness.binary("pub"), "t", "-"], env=self.broker.env(),
                               stderr=terminal.theirs, stdin=subprocess.PIPE)
        pub.stdin.write(path.read_bytes())
        pub.stdin.flush()
        self.broker.kill()
        self.assertEqual(pub.wait(LARGE_S), 3)
        pub.stdin.close()
        self.assertRegex(Terminal.seen(terminal.end())[0],
                         rf"^pub: {self.broker.address}: [^%]+$")

    def test_sub_on_a_terminal_shows_the_payload_alone(self):
        ours, theirs = pty.openpty()
        sub = subprocess.Popen([harness.binary("sub"), "--raw", "-n", "1", "t"],
                               env=self.broker.env(), stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.broker.wait_status(lambda report: report["subscriptions"] == 1)
        size = 9 * MIB
        path = self.path()
        path.write_bytes(b"x" * size)
        self.expect(0, "pub", "-f", path, "t", err="")
        seen = 0
        while seen < size:
            self.assertTrue(select.select([ours], [], [], harness.DEADLINE_S)[0])
            piece = os.read(ours, 1 << 16)
            self.assertEqual(piece, b"x" * len(piece))
            seen += len(piece)
        self.assertEqual(sub.wait(LARGE_S), 0)
        os.close(ours)


class MemoryTest(LargeCase):
    """What a payload of 256 MiB costs the tools themselves."""

    SIZE = 256 * MIB
    MORE_KIB = 32 * KIB

    def peak_of_pub(self, path, *arguments):
        """The peak of a pub that has published once and lives on."""
        pub = self.start("pub", *arguments, "-v", "--confirm", "--count", "2", "--interval",
                         "3600000", "-f", path, "t")
        pub.err.wait_line(re.compile(r"confirmed: \d+ receivers"), LARGE_S)
        peak = peak_kib(pub.pid)
        pub.signal(signal.SIGKILL)
        pub.wait()
        return peak

    def test_pub_does_not_grow_with_a_file(self):
        large, small = self.file_of(self.SIZE), self.file_of(1000)
        for arguments in WAYS:
            base = self.peak_of_pub(small, *arguments)
            self.assertLess(self.peak_of_pub(large, *arguments), base + self.MORE_KIB)

    def peak_of_stdin(self, size, *arguments):
        """The peak of a pub that has read so many bytes and waits for more."""
        read, write = os.pipe()
        pub = self.start("pub", *arguments, "t", "-", stdin=read)
        piece = bytes(MIB)
        for start in range(0, size, MIB):
            os.write(write, piece[:size - start])
        eventually(lambda: not struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, bytes(4)))[0],
                   "pub has read everything")
        os.close(read)
        peak = peak_kib(pub.pid)
        os.close(write)
        self.assertEqual(pub.result(LARGE_S).status, 0)
        return peak

    def test_pub_does_not_grow_with_stdin(self):
        for arguments in WAYS:
            base = self.peak_of_stdin(1000, *arguments)
            self.assertLess(self.peak_of_stdin(self.SIZE, *arguments), base + self.MORE_KIB)

    def test_sub_has_one_copy(self):
        path = self.file_of(self.SIZE)
        for option in ("--raw", "--json"):
            sub, came = self.to_file("sub", option, "t")
            self.expect(0, "pub", "t", "x")
            eventually(lambda: os.path.getsize(came), "the first is printed")
            base = peak_kib(sub.pid)
            self.expect(0, "pub", "-f", path, "t", err="", timeout=LARGE_S)
            self.expect(0, "pub", "t", "the end")
            eventually(lambda: b"the end" in tail(came), "all is printed")
            self.assertLess(peak_kib(sub.pid), base + self.SIZE // KIB + self.MORE_KIB)


if __name__ == "__main__":
    harness.main()
