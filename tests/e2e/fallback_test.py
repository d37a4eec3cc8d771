"""Default addresses whose abstract name is nobody's: the tools take the file, and say so."""

import os
import socket
import sys

import harness
from namespace import can_have_a_run_directory, new_run_directory
from wire_socket import socket_name

NAME = f"@baton-{os.geteuid()}"
# What each tool needs on its command line to come to an end.
ARGUMENTS = {"pub": ["a", "x"], "sub": ["-w", "0", "a"], "request": ["echo", "x"],
             "status": []}


class FallbackTest(harness.TestCase):
    """The broker listens at the default file alone."""

    def setUp(self):
        super().setUp()
        self.file = "/run/baton/baton.sock"
        if os.geteuid():
            self.file = os.path.join(self.broker.directory, "baton.sock")
        os.makedirs(os.path.dirname(self.file), mode=0o755, exist_ok=True)
        self.other = harness.popen("broker", "--listen", self.file)
        self.addCleanup(self.other.end)
        self.other.wait_line("ready", "err")

    def env(self):
        """No $BATON_ADDRESS: the defaults."""
        return self.broker.env(BATON_ADDRESS=None, XDG_RUNTIME_DIR=self.broker.directory)

    def check_said(self, tool, why="connection refused (is the broker running?)", *, said):
        """The first lines of a tool: what it skipped, and what it took instead."""
        if not harness.IS_PORTABLE:
            self.assertEqual(said.next_line(), f"{tool}: skipped: {NAME}: {why}")
        self.assertRegex(said.next_line(), rf"^{tool}: connected to {self.file} \(")

    def test_every_tool_takes_the_file_and_says_why(self):
        serve = self.start("serve", "-v", "--echo", "echo", env=self.env())
        self.check_said("serve", said=serve.err)
        serve.wait_line("ready", "err")
        for tool, arguments in ARGUMENTS.items():
            with self.subTest(tool):
                process = self.start(tool, "-v", *arguments, env=self.env())
                self.check_said(tool, said=process.err)
                self.assertEqual(process.wait(), 0)

    def test_the_warning_comes_without_verbose_too(self):
        skipped = f"pub: skipped: {NAME}: connection refused (is the broker running?)"
        self.expect(0, "pub", "a", env=self.env(), err="" if harness.IS_PORTABLE else skipped)

    def test_a_name_whose_holder_does_not_listen_is_skipped(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as holder:
            holder.bind(socket_name(NAME))
            pub = self.start("pub", "-v", "a", env=self.env())
            self.check_said("pub", said=pub.err)
            self.assertEqual(pub.wait(), 0)

    def test_a_name_that_answers_as_no_broker_would_is_skipped(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as holder:
            holder.bind(socket_name(NAME))
            holder.listen()
            pub = self.start("pub", "-v", "a", env=self.env())
            if not harness.IS_PORTABLE:
                client, _ = holder.accept()
                client.close()
                self.assertRegex(pub.err.next_line(), rf"^pub: skipped: {NAME}: ")
            self.assertRegex(pub.err.next_line(), rf"^pub: connected to {self.file} \(")
            self.assertEqual(pub.wait(), 0)

    if harness.IS_PORTABLE:
        def test_what_the_build_lacks_is_skipped_like_what_is_absent(self):
            for address, why in (
                    ("@name", "abstract names exist on Linux only: use a path"),
                    ("dgram:/x", "this build cannot tell who sends a datagram: use stream:")):
                self.expect(0, "pub", "-a", f"{address},{self.file}", "a",
                            err=f"pub: skipped: {address}: {why}")
                self.expect(3, "pub", "-a", address, "a", err=f"pub: {address}: {why}")

    def test_without_either_both_are_named(self):
        self.other.end()
        os.unlink(self.file)
        result = self.run_tool("pub", "a", env=self.env())
        self.assertEqual(result.status, 3)
        said = result.err.decode()
        self.assertRegex(said, rf"{self.file}: no such socket \(is the broker running\?\)")
        self.assertEqual(f"{NAME}: connection refused" in said, not harness.IS_PORTABLE)


if __name__ == "__main__":
    if os.geteuid() == 0:
        if not can_have_a_run_directory():
            print("skipped: needs a mount namespace, for a /run of its own")
            sys.exit(0)
        new_run_directory()
    harness.main()
