"""Payloads of any size through the tools: both ways to send them, both ways to receive them."""

import base64
import json
import os
import signal

import harness
from child import eventually
from large_case import KIB, LARGE_S, MIB, WAYS, LargeCase, digest
from wire_client import Session
from wire_codec import Delivery

SIZES = (0, 1, 65000, 65024, 256 * KIB, 256 * KIB + 1, MIB)
ALL_WAYS = [(sending, receiving) for sending in WAYS for receiving in WAYS]


class SizeTest(LargeCase):

    def test_files_of_all_sizes_arrive_whole(self):
        for sending, receiving in ALL_WAYS:
            sub, came = self.to_file("sub", "--raw", "-n", len(SIZES), *receiving, "t")
            sent = self.path("sent")
            with open(sent, "wb") as whole:
                for size in SIZES:
                    path = self.file_of(size)
                    self.expect(0, "pub", *sending, "-f", path, "t", err="")
                    whole.write(path.read_bytes())
            self.check_came(sub, came, sent)

    def test_sixty_four_mebibytes_arrive_whole_from_everywhere(self):
        path = self.file_of(64 * MIB)
        for sending, receiving in ALL_WAYS:
            with self.subTest(sending=sending, receiving=receiving):
                for publish in (
                        lambda: self.expect(0, "pub", *sending, "-f", path, "t", err="",
                                            timeout=LARGE_S),
                        lambda: self.run_from(path, "pub", *sending, "t", "-"),
                        lambda: self.run_through_pipe(path, "pub", *sending, "t", "-")):
                    sub, came = self.to_file("sub", "--raw", "-n", "1", *receiving, "t")
                    publish()
                    self.check_came(sub, came, path)

    def test_requests_and_replies_of_any_size(self):
        path = self.file_of(16 * MIB)
        for sending, receiving in ALL_WAYS:
            topic = f"svc.{len(sending)}.{len(receiving)}"
            self.start_ready("serve", *receiving, topic, "--", "cat")
            self.start_ready("serve", *receiving, "--echo", f"{topic}.echo")
            for asked in (topic, f"{topic}.echo"):
                with self.subTest(asked):
                    came = self.path("output")
                    with open(came, "wb") as out:
                        self.run_from(path, "request", *sending, asked, "-", stdout=out)
                    self.assertEqual(digest(came), digest(path))

    def test_many_large_requests_at_once_are_all_answered(self):
        path = self.file_of(8 * MIB)
        self.start_ready("serve", "svc", "--", "sha256sum")
        asking = []
        for _ in range(20):
            with open(path, "rb") as stdin:
                asking.append(self.start("request", "svc", "-", stdin=stdin))
        for request in asking:
            self.assertEqual(request.result(LARGE_S).out.split()[0].decode(), digest(path))

    def test_stdin_is_published_from_where_it_stands(self):
        path = self.file_of(2 * MIB)
        sub, came = self.to_file("sub", "--raw", "-n", "1", "t")
        with open(path, "rb") as stdin:
            os.lseek(stdin.fileno(), MIB, os.SEEK_SET)
            self.assertEqual(self.start("pub", "t", "-", stdin=stdin).result().status, 0)
        rest = self.path()
        rest.write_bytes(path.read_bytes()[MIB:])
        self.check_came(sub, came, rest)

    def test_files_that_say_they_are_empty_and_are_not(self):
        for name in ("/proc/version", "/proc/kallsyms"):     # the second fills no packet
            sub, came = self.to_file("sub", "--raw", "-n", "1", "t")
            self.expect(0, "pub", "-f", name, "t", err="")
            self.assertEqual(sub.result().status, 0)
            with open(name, "rb") as file:
                self.assertEqual(came.read_bytes(), file.read())

    def test_count_repeats_files_and_pipes_alike(self):
        path = self.file_of(MIB + 1)
        thrice = self.path()
        thrice.write_bytes(path.read_bytes() * 3)
        for publish in (
                lambda: self.expect(0, "pub", "--count", "3", "-f", path, "t", err=""),
                lambda: self.run_from(path, "pub", "--count", "3", "--interval", "1", "t", "-"),
                lambda: self.run_through_pipe(path, "pub", "--count", "3", "t", "-")):
            sub, came = self.to_file("sub", "--raw", "-n", "3", "t")
            publish()
            self.check_came(sub, came, thrice)

    def test_headers_and_confirms_go_with_it(self):
        path = self.file_of(MIB)
        for sending in WAYS:
            sub = self.start_ready("sub", "--json", "-n", "1", "t")
            result = self.run_tool("pub", *sending, "-v", "--confirm", "-H", "name=x", "-f", path,
                                   "t")
            self.assertEqual(result.err.splitlines()[-1], b"confirmed: 1 receivers")
            message = json.loads(sub.result().out)
            self.assertEqual((message["size"], message["headers"]), (MIB, {"name": "x"}))

    def test_lines_may_be_longer_than_a_packet(self):
        lines = [b"a" * MIB, b"", b"b" * (100 * KIB), b"c"]
        for sending in WAYS:
            sub = self.start_ready("sub", "-n", len(lines), "t")
            self.expect(0, "pub", *sending, "--lines", "t", stdin=b"\n".join(lines), err="")
            self.assertEqual(sub.result().out, b"".join(b"t " + line + b"\n" for line in lines))

    def test_memfd_says_from_which_size_on_they_are_placed(self):
        session = Session.connect(self.broker.address, timeout=harness.DEADLINE_S)
        self.addCleanup(session.close)
        session.hello("receiver")
        session.answer(session.sub(1, "t"))
        placed = "plain" if harness.IS_PORTABLE else "placed"
        for arguments, form in ((["--memfd", "999"], placed), (["--memfd", "1000"], "plain"),
                                (["--memfd", "never"], "plain"), ([], "plain")):
            self.expect(0, "pub", *arguments, "t", "x" * 1000, err="")
            delivery = session.take(lambda event: isinstance(event, Delivery))
            self.assertEqual((delivery.payload, delivery.form), (b"x" * 1000, form), arguments)

    def test_wrong_sizes_are_usage_errors(self):
        for tool in ("pub", "sub", "request", "serve"):
            self.expect(2, tool, "--memfd", "some", "a",
                        err=f"{tool}: --memfd some: not a whole number (see --help)")
            result = self.run_tool(tool, "--memfd", "0", "a")
            self.assertEqual(result.status, 2)
            self.assertRegex(result.err.decode(), rf"\A{tool}: --memfd 0: must be 1 to [^\n]+\n\Z")


class PrintTest(LargeCase):

    def printed(self, path, *arguments):
        sub, came = self.to_file("sub", "-n", "1", *arguments, "t")
        self.expect(0, "pub", "-f", path, "t", err="", timeout=LARGE_S)
        self.assertEqual(sub.result(LARGE_S).status, 0)
        return came.read_bytes()

    def test_plain_output_of_a_large_payload(self):
        path = self.file_of(3 * MIB)
        self.assertEqual(self.printed(path), b"t " + path.read_bytes() + b"\n")

    def test_json_of_large_bytes_is_base64_as_a_whole(self):
        for size in (64 * KIB, 64 * KIB + 1, 3 * MIB, 16 * MIB + 2):
            path = self.file_of(size - 1)
            with open(path, "ab") as file:
                file.write(b"\xff")         # no text, whatever stands before
            message = json.loads(self.printed(path, "--json"))
            self.assertEqual(base64.b64decode(message["payload_base64"], validate=True),
                             path.read_bytes())
            self.assertEqual(message["size"], size)

    def test_json_of_large_text_is_a_string_as_a_whole(self):
        path = self.path()
        text = "a\"€😀\n" * 300000
        path.write_text(text, encoding="utf-8", newline="")
        message = json.loads(self.printed(path, "--json"))
        self.assertTrue(message["payload"] == text)
        self.assertEqual(message["size"], len(text.encode()))

    def test_a_reader_that_goes_away_in_the_middle_ends_it_well(self):
        path = self.file_of(8 * MIB)
        read, write = os.pipe()
        sub = self.start_ready("sub", "--raw", "t", stdout=write)
        os.close(write)
        self.expect(0, "pub", "-f", path, "t", err="")
        self.assertTrue(os.read(read, 1))
        os.close(read)
        self.assertEqual(sub.wait(), 0)

    def test_sigterm_ends_it_while_nobody_reads_the_rest(self):
        path = self.file_of(8 * MIB)
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        sub = self.start_ready("sub", "--raw", "t", stdout=write)
        os.close(write)
        self.expect(0, "pub", "-f", path, "t", err="")
        self.assertTrue(os.read(read, 1))
        sub.signal(signal.SIGTERM)
        result = sub.result()
        self.assertEqual(result.status, 1)
        self.assertEqual(result.err.splitlines()[-1], b"sub: stdout: not everything was read")


class ChangeTest(LargeCase):
    """A file that changes between the moment it is opened and its end."""

    def change(self, path, change, *arguments):
        """Run pub, and call `change` when it has opened and measured its file."""
        os.kill(self.broker.pid, signal.SIGSTOP)
        pub = self.start("pub", *arguments, "-f", path, "t")
        # It connects when it has opened the file, and hears nothing of a broker that is stopped.
        eventually(lambda: any("socket:" in self.target(pub.pid, fd)
                               for fd in os.listdir(f"/proc/{pub.pid}/fd")), "pub connects")
        change()
        os.kill(self.broker.pid, signal.SIGCONT)
        return pub.result()

    @staticmethod
    def target(pid, fd):
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            return ""

    def test_it_is_one_clear_error_and_nothing_is_published(self):
        def grow(path):
            with open(path, "ab") as file:
                file.write(b"more")

        for arguments in WAYS:
            for size in (300 * KIB, 2 * MIB):
                for change, said in ((lambda path: os.truncate(path, size - 1), "became smaller"),
                                     (lambda path: os.truncate(path, 1000), "became smaller"),
                                     (grow, "grew")):
                    with self.subTest(arguments=arguments, size=size, said=said):
                        path = self.file_of(size)
                        sub = self.start_ready("sub", "-n", "1", *arguments, "t")
                        result = self.change(path, lambda: change(path), *arguments)
                        self.assertEqual(result, (1, b"", f"pub: {path}: it {said} while it was "
                                                  "read\n".encode()))
                        self.expect(0, "pub", "t", "the next")
                        self.assertEqual(sub.result().out, b"t the next\n")

    def test_a_pipe_that_ends_early_is_no_file_that_shrank(self):
        sub = self.start_ready("sub", "--raw", "-n", "1", "t")
        self.expect(0, "pub", "t", "-", stdin=bytes(300 * KIB), err="")
        self.assertEqual(sub.result().out, bytes(300 * KIB))

    def test_a_broker_that_is_lost_while_stdin_is_silent_is_noticed(self):
        for arguments in WAYS:
            pub = self.start("pub", *arguments, "t", "-")
            pub.stdin.write(bytes(MIB))
            self.broker.wait_status(lambda report: report["sessions"] == 2)
            self.broker.kill()
            pub.wait()
            result = pub.result()
            self.assertEqual(result.status, 3, result)
            self.assertRegex(result.err.decode(), rf"\Apub: {self.broker.address}: [^\n]+\n\Z")
            self.broker.start()


class LimitTest(LargeCase):

    broker_options = ("--limit", f"payload_bytes={MIB}")

    def test_more_than_the_broker_takes_is_one_clear_error(self):
        path = self.file_of(MIB + 1)
        for arguments in WAYS:
            for publish in (lambda: self.run_tool("pub", *arguments, "-f", path, "t"),
                            lambda: self.run_tool("pub", *arguments, "t", "-",
                                                  stdin=path.read_bytes()),
                            lambda: self.run_tool("pub", *arguments, "--count", "2", "t", "-",
                                                  stdin=path.read_bytes()),
                            lambda: self.run_tool("request", *arguments, "t", "-",
                                                  stdin=path.read_bytes())):
                result = publish()
                self.assertEqual((result.status, result.out), (1, b""), result)
                self.assertRegex(result.err, rb"\A(pub|request): [^\n]+\n\Z")
        self.assertEqual(self.broker.status()["unrouted"], 0)

    def test_an_endless_stdin_is_cut_off(self):
        with open("/dev/zero", "rb") as zero:
            for tool in ("pub", "request"):
                result = self.start(tool, "t", "-", stdin=zero).result()
                self.assertEqual(result.status, 1)
                self.assertRegex(result.err.decode(), rf"\A{tool}: [^\n]*1048576[^\n]*\n\Z")

    def test_a_reply_of_exactly_the_limit_arrives(self):
        self.start_ready("serve", "svc", "--", "head", "-c", MIB, "/dev/zero")
        self.assertEqual(self.expect(0, "request", "svc", err=""), bytes(MIB))


if __name__ == "__main__":
    harness.main()
