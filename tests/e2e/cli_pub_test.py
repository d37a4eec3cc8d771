"""`pub`, as its --help and the README promise it."""

import os
import signal
import subprocess
import time

import harness
from fake_broker import ALL_RIGHTS, FDS_RIGHT, FakeBroker
from wire_codec import Code, Frame

PAYLOAD_BYTES = 100000          # more than one frame holds


class PubTest(harness.TestCase):

    def subscribe(self, *arguments):
        return self.start_ready("sub", *arguments)

    def test_a_payload_is_published_as_it_is(self):
        sub = self.subscribe("--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "a.b", "hello, world", err="")
        self.assertEqual(sub.result().out, b"hello, world")

    def test_without_a_payload_it_is_empty(self):
        sub = self.subscribe("-n", "1", "a.b")
        self.expect(0, "pub", "a.b", err="")
        self.assertEqual(sub.result().out, b"a.b \n")

    def test_a_dash_is_stdin_with_every_byte(self):
        payload = bytes(range(256)) + b"\n\n"
        sub = self.subscribe("--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "a.b", "-", stdin=payload, err="")
        self.assertEqual(sub.result().out, payload)

    def test_what_begins_with_a_dash_stands_behind_two(self):
        sub = self.subscribe("--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "--", "a.b", "-5", err="")
        self.assertEqual(sub.result().out, b"-5")

    def test_a_file_is_published_whole(self):
        path = self.tmpdir() / "payload"
        path.write_bytes(b"x\0y\n" * 10000)
        sub = self.subscribe("--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "-f", path, "a.b", err="")
        self.assertEqual(sub.result().out, path.read_bytes())

    def test_a_missing_file_is_a_failure(self):
        self.expect(1, "pub", "-f", "/nonexistent", "a.b",
                    err="pub: /nonexistent: No such file or directory")
        self.expect(1, "pub", "--fd", "/nonexistent", "a.b",
                    err="pub: /nonexistent: No such file or directory")

    def test_relative_paths_are_the_callers_under_bazel_run(self):
        directory = self.tmpdir()
        (directory / "payload").write_bytes(b"from afar")
        sub = self.subscribe("--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "-f", "./payload", "a.b", err="", cwd="/",
                    env=self.broker.env(BUILD_WORKING_DIRECTORY=str(directory)))
        self.assertEqual(sub.result().out, b"from afar")

    def test_confirm_says_how_many_took_it(self):
        self.assertEqual(self.run_tool("pub", "-v", "--confirm", "a.b").err.splitlines()[-1],
                         b"confirmed: 0 receivers")
        subs = [self.subscribe("-n", "2", "a.b"), self.subscribe("-n", "2", "*.b")]
        observer = self.subscribe("--observer", "-n", "2", "a.b")
        result = self.run_tool("pub", "-v", "--confirm", "--count", "2", "a.b", "x")
        self.assertEqual(result.err.splitlines()[-2:], [b"confirmed: 2 receivers"] * 2)
        for sub in (*subs, observer):
            self.assertEqual(sub.result().out, b"a.b x\n" * 2)

    def test_count_repeats_and_interval_waits_between(self):
        sub = self.subscribe("-n", "3", "a.b")
        began = time.monotonic()
        self.expect(0, "pub", "--count", "3", "--interval", "50", "a.b", "x", err="")
        self.assertGreaterEqual(time.monotonic() - began, 0.1)
        self.assertEqual(sub.result().out, b"a.b x\n" * 3)

    def test_many_at_once_all_arrive(self):
        count = 200000              # more than confirms may be under way at once
        sub = self.subscribe("--raw", "-n", count, "a.b")
        self.expect(0, "pub", "--count", count, "a.b", "0123456789", err="")
        self.assertEqual(sub.result(60).out, b"0123456789" * count)

    def test_refusals_are_told_with_their_status(self):
        self.expect(5, "pub", "$sys.x", "y", err="pub: $sys.x: topics with $ belong to the broker")
        self.expect(2, "pub", "a..b", "y",
                    err="pub: 'a..b' is no topic: an empty token")
        self.expect(2, "pub", "a.*", "y",
                    err="pub: 'a.*' is no topic: * and > are for filters")

    def test_wrong_command_lines_are_usage_errors(self):
        for arguments, complaint in (
                ([], "no topic"),
                (["a", "b", "c"], "unexpected argument 'c'"),
                (["-f", "x", "a", "b"], "either a payload or --file"),
                (["--lines", "a", "b"], "--lines takes its messages from stdin or --file"),
                (["--lines", "--count", "2", "a"], "either --lines or --count"),
                (["-H", "novalue", "a"], "--header novalue: expected KEY=VALUE"),
                (["--count", "0", "a"],
                 "--count 0: must be 1 to 18446744073709551615"),
                (["--count", "many", "a"], "--count many: not a whole number"),
                (["--interval", "-1", "a"], "--interval -1: not a whole number"),
                (["--ttl", "0", "a"], "--ttl 0: must be 1 to 4294967295")):
            with self.subTest(arguments):
                self.expect(2, "pub", *arguments, err=f"pub: {complaint} (see --help)")
        self.expect(2, "pub", "--nonsense", "a", err="pub: unrecognized option '--nonsense'")

    def test_without_a_broker_the_status_is_3(self):
        nobody = harness.new_address(self.broker.directory)
        self.expect(3, "pub", "-a", nobody, "a", "x", err=f"pub: {nobody}: {harness.NOBODY_THERE}")


class LinesTest(harness.TestCase):

    def test_each_line_is_a_message(self):
        sub = self.start_ready("sub", "-n", "5", "a")
        text = b"one\n\ntwo \0 with a NUL\r\n\xff\xfe\nlast without newline"
        self.expect(0, "pub", "--lines", "a", stdin=text, err="")
        self.assertEqual(sub.result().out,
                         b"a one\na \na two \0 with a NUL\r\na \xff\xfe\na last without newline\n")

    def test_a_dash_or_a_file_work_too(self):
        path = self.tmpdir() / "lines"
        path.write_bytes(b"1\n2\n")
        sub = self.start_ready("sub", "--raw", "-n", "4", "a")
        self.expect(0, "pub", "--lines", "-f", path, "a", err="")
        self.expect(0, "pub", "--lines", "a", "-", stdin=b"3\n4\n", err="")
        self.assertEqual(sub.result().out, b"1234")

    def test_no_lines_are_no_messages(self):
        self.expect(0, "pub", "--lines", "a", stdin=b"", err="")
        self.assertEqual(self.broker.status()["unrouted"], 0)

    def test_a_line_from_a_pipe_is_sent_before_the_next_one_comes(self):
        sub = self.start_ready("sub", "a")
        pub = self.start("pub", "--lines", "a")
        for line in ("first", "second"):
            pub.stdin.write(line.encode() + b"\n")
            sub.wait_line(f"a {line}")
        pub.stdin.write(b"half")
        pub.close_stdin()
        sub.wait_line("a half")
        self.assertEqual(pub.wait(), 0)

    def test_interval_spaces_the_lines(self):
        began = time.monotonic()
        self.expect(0, "pub", "--lines", "--interval", "50", "a", stdin=b"1\n2\n3\n", err="")
        self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_a_directory_cannot_be_read(self):
        self.expect(1, "pub", "--lines", "-f", "/", "a", err="pub: /: Is a directory")


class SizeTest(harness.TestCase):
    """What is too large for one frame is sent all the same; beyond the broker's limit it is not."""

    broker_options = ("--limit", f"payload_bytes={PAYLOAD_BYTES}")

    def test_the_largest_payload_arrives_and_a_larger_one_is_one_clear_error(self):
        largest = os.urandom(PAYLOAD_BYTES)
        sub = self.start_ready("sub", "--raw", "-n", "1", "a.b")
        self.expect(0, "pub", "a.b", "-", stdin=largest, err="")
        self.assertEqual(sub.result().out, largest)
        result = self.run_tool("pub", "a.b", "-", stdin=largest + b"!")
        self.assertEqual(result.status, 1)
        self.assertRegex(result.err, rb"\Apub: [^ ]+: payload of 100001 bytes: [^\n]*\n\Z")

    def test_the_longest_line_arrives_and_one_that_is_too_long_is_named(self):
        sub = self.start_ready("sub", "--raw", "-n", "3", "a")
        longest = b"y" * PAYLOAD_BYTES
        text = b"one\n" + longest + b"\ntwo\n" + longest + b"y\nfour\n"
        self.expect(1, "pub", "--lines", "a", stdin=text,
                    err=f"pub: line 4: longer than a message can be ({PAYLOAD_BYTES} bytes)")
        self.assertEqual(sub.result().out, b"one" + longest + b"two")

    def test_all_of_many_lines_before_the_one_that_failed_arrive(self):
        for ending in (b"", b"\n"):
            sub = self.start_ready("sub", "--raw", "-n", "100000", "a")
            last = b"x" * (PAYLOAD_BYTES + 1) + ending
            result = self.run_tool("pub", "--lines", "a", stdin=b"0123456789\n" * 100000 + last)
            self.assertEqual(result.status, 1)
            self.assertRegex(result.err, rb"\Apub: line 100001: [^\n]+\n\Z")
            self.assertEqual(sub.result().out, b"0123456789" * 100000)


class LossTest(harness.TestCase):

    def lost(self, pub):
        pub.wait()                      # while its stdin is open
        result = pub.result()
        self.assertEqual(result.status, 3, result)
        self.assertRegex(result.err.decode(), rf"\Apub: {self.broker.address}: [^\n]+\n\Z")

    def test_a_broker_killed_while_stdin_is_silent_is_noticed_at_once(self):
        sub = self.start_ready("sub", "a")
        pub = self.start("pub", "--lines", "a")
        pub.stdin.write(b"x\n")
        sub.wait_line("a x")
        self.broker.kill()
        self.lost(pub)

    def test_a_broker_killed_in_the_middle_of_a_burst_is_a_loss(self):
        sub = self.start_ready("sub", "a", stdout=subprocess.DEVNULL)
        pub = self.start("pub", "--count", "1000000000", "a", "x")
        self.broker.wait_status(lambda report: report["published"] > 100000)
        self.broker.kill()
        self.lost(pub)
        self.assertTrue(sub.is_running())

    def test_a_broker_killed_between_messages_is_a_loss(self):
        sub = self.start_ready("sub", "a")
        pub = self.start("pub", "--count", "1000", "--interval", "60000", "a", "x")
        sub.wait_line("a x")
        self.broker.kill()
        self.lost(pub)

    def test_a_broker_that_is_stopped_is_a_loss_too(self):
        pub = self.start("pub", "--lines", "a")
        self.broker.wait_status(lambda report: report["sessions"] == 2)
        self.broker.stop()
        self.lost(pub)


class FakeTest(harness.TestCase):
    """What the broker is told, seen from its side."""

    def fake(self, on_publication=None, **more):
        broker = FakeBroker(self.broker.address + "-fake", None, on_publication, **more)
        self.addCleanup(broker.close)
        return self.broker.address + "-fake"

    def test_a_descriptor_without_the_right_to_send_one_is_refused(self):
        address = self.fake(rights=ALL_RIGHTS - FDS_RIGHT)
        self.expect(5, "pub", "-a", address, "--fd", "/dev/null", "a.b",
                    err=f"pub: {address}: this session may not send descriptors")

    def test_headers_retain_and_ttl_are_passed_on(self):
        seen = []

        def on_publication(broker, frame, confirm):
            seen.append(frame)
            broker.send([Frame.OK, confirm, 3])

        address = self.fake(on_publication)
        result = self.run_tool("pub", "-a", address, "-v", "--confirm", "-H", "unit=C",
                               "-H", "empty=", "-H", "a=b=c", "a.b", "x")
        self.assertEqual(result.status, 0, result)
        self.assertEqual(result.err.splitlines()[-1], b"confirmed: 3 receivers")
        self.assertEqual(seen, [[Frame.PUB, 0, "a.b", {"unit": "C", "empty": "", "a": "b=c"},
                                 b"x"]])

    def test_a_failure_of_one_line_names_it(self):
        def on_publication(broker, frame, confirm):
            if frame[4] == b"bad":
                broker.send([Frame.ERR, confirm, Code.LIMIT, "full", "queue_bytes"])
            else:
                broker.send([Frame.OK, confirm, 0])

        result = self.run_tool("pub", "-a", self.fake(on_publication), "--lines", "a",
                               stdin=b"good\nbad\nbad\n")
        self.assertEqual((result.status, result.err),
                         (5, b"pub: line 2: full (limit queue_bytes)\n"))

    def test_out_of_memory_there_is_a_failure(self):
        def on_publication(broker, _, confirm):
            broker.send([Frame.ERR, confirm, Code.NO_MEMORY, "no memory"])

        self.expect(1, "pub", "-a", self.fake(on_publication), "a", "x", err="pub: a: no memory")

    def test_sigint_ends_it(self):
        pub = self.start("pub", "-a", self.fake(lambda *_: None), "--lines", "a")
        pub.stdin.write(b"x\n")
        pub.signal(signal.SIGINT)
        self.assertEqual(pub.wait(), -signal.SIGINT)


if __name__ == "__main__":
    harness.main()
