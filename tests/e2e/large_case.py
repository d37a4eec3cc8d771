"""What the tests of large payloads share: files of every size, and their way through the tools."""

import hashlib
import os
import subprocess

import harness

KIB, MIB = 1 << 10, 1 << 20
WAYS = ([], ["--memfd", "never"])       # placed in memory that is shared, and cut into pieces
LARGE_S = 120                           # for what moves hundreds of MiB through a sanitizer


def digest(path):
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            found.update(piece)
    return found.hexdigest()


class LargeCase(harness.TestCase):
    """Each test has a directory for what is sent and what has come."""

    def setUp(self):
        super().setUp()
        self.directory = self.tmpdir()
        self._number = 0

    def path(self, name="file"):
        """A fresh path."""
        self._number += 1
        return self.directory / f"{name}-{self._number}"

    def file_of(self, size):
        """A file of so many bytes, which nobody could guess."""
        path = self.path()
        with open(path, "wb") as file:
            for start in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - start)))
        return path

    def to_file(self, tool, *arguments, **options):
        """Start sub with its output in a file; return both."""
        path = self.path("output")
        with open(path, "wb") as out:
            return self.start_ready(tool, *arguments, stdout=out, **options), path

    def run_from(self, path, tool, *arguments, stdout=subprocess.DEVNULL):
        """Run a tool whose stdin is a file; it must end well and say nothing."""
        with open(path, "rb") as stdin:
            result = self.start(tool, *arguments, stdin=stdin, stdout=stdout)
            self.assertEqual(result.result(LARGE_S), (0, b"", b""))

    def run_through_pipe(self, path, tool, *arguments):
        """The same through a pipe, the other end of which knows nothing of sizes."""
        feeder = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
        process = self.start(tool, *arguments, stdin=feeder.stdout, stdout=subprocess.DEVNULL)
        feeder.stdout.close()
        self.assertEqual(process.result(LARGE_S), (0, b"", b""))
        self.assertEqual(feeder.wait(), 0)

    def check_came(self, process, came, sent):
        """A tool with its output in a file has ended well, and that is what was sent."""
        result = process.result(LARGE_S)
        self.assertEqual(result.status, 0, result)
        self.assertEqual((os.path.getsize(came), digest(came)),
                         (os.path.getsize(sent), digest(sent)))
        os.unlink(came)
