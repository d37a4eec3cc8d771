"""The tools over `dgram:` and over a socket that they inherit: where the kernel says who sends."""

import shutil
import socket

import harness
from large_case import KIB, LargeCase


class DatagramTest(LargeCase):

    def setUp(self):
        self.place = harness.short_tmpdir()
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.address = f"dgram:{self.place}/d"
        self.broker_options = ("--listen", self.address)
        super().setUp()

    def expect_pub(self, status, *arguments, **options):
        self.expect(status, "pub", "-a", self.address, *arguments, **options)

    def test_messages_arrive(self):
        sub = self.start_ready("sub", "-n", "3", "t")
        self.expect_pub(0, "--count", "2", "--interval", "1", "-H", "k=v", "t", "x", err="")
        self.expect_pub(0, "t", "-", stdin=b"from stdin", err="")
        self.assertEqual(sub.result().out, b"t x\nt x\nt from stdin\n")

    def test_verbose_says_where_they_go(self):
        result = self.run_tool("pub", "-v", "-a", self.address, "t")
        self.assertEqual((result.status, result.err),
                         (0, f"pub: sending to {self.address}\n".encode()))

    def test_more_lines_than_the_socket_holds_all_arrive(self):
        count = 2000                    # below what the receiver's backlog holds
        sub = self.start_ready("sub", "--raw", "-n", count, "t")
        self.expect_pub(0, "--lines", "t", stdin=b"0123456789\n" * count, err="")
        self.assertEqual(sub.result().out, b"0123456789" * count)

    def test_what_needs_more_than_a_datagram_is_a_usage_error(self):
        for arguments, complaint in (
                (["--confirm"], "--confirm: over dgram: no answer comes back"),
                (["--fd", "/dev/null"], "--fd: dgram: carries no descriptors"),
                (["--retain"], "--retain: over dgram: the broker could not refuse it"),
                (["--ttl", "5"], "--ttl: over dgram: the broker could not refuse it")):
            self.expect_pub(2, *arguments, "t", "x", err=f"pub: {complaint} (see --help)")

    def test_more_than_a_packet_is_one_clear_error(self):
        path = self.file_of(300 * KIB)
        self.expect_pub(1, "-f", path, "t", err=f"pub: {path}: more than a datagram can hold")
        result = self.run_tool("pub", "-a", self.address, "t", "-", stdin=bytes(65024))
        self.assertEqual(result.status, 1)
        self.assertRegex(result.err, rb"\Apub: dgram:[^ ]+: payload of 65024 bytes: [^\n]+\n\Z")

    def test_other_tools_refuse_it(self):
        for tool, arguments in (("sub", ["t"]), ("request", ["t"]), ("serve", ["--echo", "t"]),
                                ("status", [])):
            self.expect(2, tool, "-a", self.address, *arguments,
                        err=f"{tool}: {self.address}: only pub can use it: nothing comes back "
                        "over dgram: (see --help)")

    def test_coming_back_to_it_is_refused_too(self):
        for tool, arguments in (("sub", ["t"]), ("serve", ["--echo", "t"])):
            first = harness.Broker()
            self.addCleanup(first.remove)
            first.start()
            process = self.start_ready(tool, "-a", f"{first.address},{self.address}", *arguments)
            first.kill()
            result = process.result()
            self.assertEqual(result.status, 2, result)
            self.assertRegex(result.err.splitlines()[-1].decode(),
                             rf"\A{tool}: {self.address}: only pub can use it")

    def test_without_a_broker_the_status_is_3(self):
        nobody = f"dgram:{self.place}/nobody"
        result = self.run_tool("pub", "-a", nobody, "t")
        self.assertEqual(result.status, 3)
        self.assertRegex(result.err.decode(), rf"\Apub: {nobody}: [^\n]+\n\Z")


class InheritedTest(harness.TestCase):
    """A broker that serves one client: whoever holds the other end of its socketpair."""

    def serve_one(self, kind=socket.SOCK_SEQPACKET):
        """Our end; the broker lives as long as it is open somewhere."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.addCleanup(ours.close)
        with theirs:
            broker = harness.popen("broker", "--client-fd", theirs.fileno(),
                                   pass_fds=[theirs.fileno()])
        self.addCleanup(broker.end)
        broker.wait_line("ready", "err")
        return ours, broker

    def run_inherited(self, ours, tool, *arguments):
        return self.run_tool(tool, *arguments, pass_fds=[ours.fileno()],
                             env=harness.clean_env(BATON_FD=str(ours.fileno())))

    def test_the_tools_use_it(self):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
            for tool, arguments, status in (("pub", ["t", "x"], 0), ("sub", ["-w", "0", "t"], 0),
                                            ("request", ["t"], 6), ("status", ["--json"], 0)):
                ours, broker = self.serve_one(kind)
                result = self.run_inherited(ours, tool, *arguments)
                self.assertEqual(result.status, status, result)
                ours.close()
                self.assertEqual(broker.wait(), 0)

    def test_verbose_names_it(self):
        ours, _ = self.serve_one()
        result = self.run_inherited(ours, "pub", "-v", "t")
        self.assertRegex(result.err.decode(), rf"\Apub: connected to fd:{ours.fileno()} \(")

    def test_it_is_not_waited_for_when_it_is_lost(self):
        for tool, arguments in (("sub", ["t"]), ("serve", ["--echo", "t"])):
            ours, broker = self.serve_one()
            process = self.start(tool, "-v", *arguments, pass_fds=[ours.fileno()],
                                 env=harness.clean_env(BATON_FD=str(ours.fileno())))
            process.wait_line("ready", "err")
            broker.end()
            result = process.result()
            self.assertEqual(result.status, 3, result)
            self.assertNotIn(b"reconnecting", result.err)

    def test_an_address_on_the_command_line_comes_first(self):
        ours, _ = self.serve_one()
        result = self.run_inherited(ours, "pub", "-v", "-a", self.broker.address, "t")
        self.assertRegex(result.err.decode(), rf"\Apub: connected to {self.broker.address} \(")

    def test_one_that_is_not_open_is_a_usage_error(self):
        result = self.run_tool("pub", "t", env=harness.clean_env(BATON_FD="99"))
        self.assertEqual(result.status, 2)
        self.assertRegex(result.err, rb"\Apub: BATON_FD: [^\n]+\n\Z")


if __name__ == "__main__":
    harness.main()
