"""`sub`, as its --help and the README promise it."""

import datetime
import json
import os
import re
import signal
import time
from pathlib import Path

import harness
from fake_broker import FakeBroker
from wire_codec import Code, Flag

GAP_OVERFLOW = 1


class SubTest(harness.TestCase):

    def test_plain_output_is_topic_and_payload(self):
        sub = self.start_ready("sub", "sensors.>")
        self.expect(0, "pub", "sensors.cabin.temp", "21.5")
        self.expect(0, "pub", "other.topic", "not this")
        self.expect(0, "pub", "sensors.door", "")
        self.assertEqual(sub.out.next_line(), "sensors.cabin.temp 21.5")
        self.assertEqual(sub.out.next_line(), "sensors.door ")

    def test_raw_output_is_nothing_but_the_payloads(self):
        sub = self.start_ready("sub", "--raw", "-n", "3", "a")
        for payload in (b"one", b"\0\n", b""):
            self.expect(0, "pub", "a", "-", stdin=payload)
        self.assertEqual(sub.result().out, b"one\0\n")

    def test_wildcards(self):
        sub = self.start_ready("sub", "a.*.c", "x.>")
        for topic in ("a.b.c", "a.b.d", "a.c", "x", "x.y.z", "end.of.it", "x.end"):
            self.expect(0, "pub", topic)
        self.assertEqual([sub.out.next_line() for _ in range(3)], ["a.b.c ", "x.y.z ", "x.end "])

    def test_a_message_that_matches_twice_is_printed_once(self):
        sub = self.start_ready("sub", "-n", "3", "a.>", "a.b", "*.b", "a.b")
        for payload in "123":
            self.expect(0, "pub", "a.b", payload)
        self.assertEqual(sub.result().out, b"a.b 1\na.b 2\na.b 3\n")

    def test_it_stops_after_exactly_n(self):
        sub = self.start_ready("sub", "-n", "3", "a")
        self.expect(0, "pub", "--lines", "a", stdin=b"1\n2\n3\n4\n5\n")
        self.assertEqual(sub.result()[:2], (0, b"a 1\na 2\na 3\n"))

    def test_n_messages_that_do_not_come_in_time_are_status_4(self):
        sub = self.start_ready("sub", "-n", "3", "-w", "0.3", "a")
        self.expect(0, "pub", "a", "x")
        result = sub.result()
        self.assertEqual((result.status, result.out), (4, b"a x\n"))
        self.assertEqual(result.err.splitlines()[-1], b"sub: timed out: 1 of 3 messages")

    def test_without_n_the_end_of_the_time_is_success(self):
        began = time.monotonic()
        self.assertEqual(self.expect(0, "sub", "-w", "0.2", "a", err=""), b"")
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_sigterm_and_sigint_are_success_and_nothing_printed_is_lost(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sub = self.start_ready("sub", "a")
            self.expect(0, "pub", "a", "x")
            sub.wait_line("a x")
            sub.signal(number)
            self.assertEqual(sub.result()[:2], (0, b"a x\n"))

    def test_sigterm_ends_it_while_nobody_reads_its_output(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        sub = self.start_ready("sub", "a", stdout=write)
        os.close(write)
        self.expect(0, "pub", "--count", "10000", "a", "0123456789")
        self.broker.wait_status(lambda report: report["queued"] == 0)
        sub.signal(signal.SIGTERM)
        result = sub.result()
        self.assertEqual(result.status, 1)
        self.assertEqual(result.err.splitlines()[-1], b"sub: stdout: not everything was read")

    def test_a_reader_that_went_away_ends_it_at_once(self):
        read, write = os.pipe()
        sub = self.start_ready("sub", "a", stdout=write)
        os.close(write)
        os.close(read)
        self.assertEqual(sub.wait(), 0)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            sub = self.start_ready("sub", "a", stdout=full)
        self.expect(0, "pub", "a", "x")
        result = sub.result()
        self.assertEqual(result.status, 1)
        self.assertEqual(result.err.splitlines()[-1], b"sub: stdout: No space left on device")

    def test_an_observer_is_no_receiver(self):
        sub = self.start_ready("sub", "--observer", "-n", "1", "a")
        result = self.run_tool("pub", "-v", "--confirm", "a", "x")
        self.assertEqual(result.err.splitlines()[-1], b"confirmed: 0 receivers")
        self.assertEqual(sub.result().out, b"a x\n")

    def test_what_this_broker_does_not_have_is_a_failure_in_its_words(self):
        self.expect(1, "sub", "--window", "5", "--overflow", "latest", "a",
                    err="sub: a: this broker has no overflow with a group or a window")

    def test_wrong_command_lines_are_usage_errors(self):
        for arguments, complaint in (
                ([], "no filter"),
                (["--json", "--raw", "a"], "--json stands alone: neither --raw nor --fd-cat"),
                (["--json", "--fd-cat", "a"], "--json stands alone: neither --raw nor --fd-cat"),
                (["-n", "0", "a"], "-n 0: must be 1 to 18446744073709551615"),
                (["-w", "soon", "a"], "-w soon: not a number of seconds"),
                (["-w", "-1", "a"], "-w -1: not a number of seconds"),
                (["--overflow", "lose", "a"], "--overflow lose: no such policy"),
                (["--ack", "a"], "--ack is for a --group"),
                (["--group", "g", "--observer", "a"],
                 "--observer takes no part in the work of a --group"),
                (["--group", "g", "--ack", "--ack-ms", "86400001", "a"],
                 "--ack-ms 86400001: must be 1 to 86400000"),
                (["--group", "g", "--deliveries", "2", "a"],
                 "--ack-ms and --deliveries are for --ack"),
                (["--will", "topic", "a"], "--will topic: expected TOPIC=PAYLOAD")):
            with self.subTest(arguments):
                self.expect(2, "sub", *arguments, err=f"sub: {complaint} (see --help)")
        self.expect(2, "sub", "a.>.b",
                    err="sub: 'a.>.b' is no filter: "
                        "* stands for a whole token, > for all at the end")

    def test_without_a_broker_the_status_is_3(self):
        nobody = harness.new_address(self.broker.directory)
        self.expect(3, "sub", "-a", nobody, "a", err=f"sub: {nobody}: {harness.NOBODY_THERE}")


class JsonTest(harness.TestCase):

    def message(self, sub):
        return json.loads(sub.out.next_line())

    def test_an_object_has_exactly_the_promised_keys(self):
        sub = self.start_ready("sub", "--json", "a.b")
        pub = self.start("pub", "a.b", "hello")
        pub.wait()
        line = sub.out.next_line()
        message = json.loads(line)
        sent = datetime.datetime.strptime(message.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
        age = datetime.datetime.utcnow() - sent
        self.assertLess(abs(age.total_seconds()), 30)
        self.assertRegex(line, r'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')
        session = message["sender"].pop("session")
        self.assertGreater(session, 0)
        self.assertEqual(message, {
            "topic": "a.b", "payload": "hello", "size": 5,
            "sender": {"pid": harness.pid_said(pub.pid), "uid": os.getuid(), "gid": os.getgid()}})

    def test_payloads_come_back_as_they_were(self):
        sub = self.start_ready("sub", "--json", "a")
        for payload in (b"", b'quote " backslash \\ slash /', bytes(range(32)) + b"\x7f",
                        "é € 😀 \u2028\u2029 \x85".encode(), b"line\nline\r\n"):
            self.expect(0, "pub", "a", "-", stdin=payload)
            line = sub.out.next_line()
            self.assertEqual(json.loads(line)["payload"].encode(), payload)
            self.assertEqual(json.loads(line)["size"], len(payload))
            # No control characters, nor what JavaScript takes for the end of a line.
            self.assertNotRegex(line, "[\x00-\x1f\x7f-\x9f\u2028\u2029]")

    def test_what_is_no_text_comes_in_base64(self):
        sub = self.start_ready("sub", "--json", "a")
        for payload, base64 in ((b"\xff", "/w=="), (b"\xc0\x80", "wIA="), (b"caf\xc3", "Y2Fmww=="),
                                (b"a\xed\xa0\x80", "Ye2ggA=="),
                                (b"\xf4\x90\x80\x80", "9JCAgA==")):
            self.expect(0, "pub", "a", "-", stdin=payload)
            message = self.message(sub)
            self.assertEqual(message["payload_base64"], base64)
            self.assertNotIn("payload", message)

    def test_headers_and_requests_are_shown(self):
        sub = self.start_ready("sub", "--json", "a")
        self.start_ready("serve", "--echo", "a")
        self.expect(0, "request", "-H", "unit=°C", "-H", "n=1", "a", "x")
        message = self.message(sub)
        self.assertEqual(message["headers"], {"unit": "°C", "n": "1"})
        self.assertIs(message["request"], True)
        self.expect(0, "pub", "a")
        self.assertNotIn("request", self.message(sub))


class FakeTest(harness.TestCase):
    """What this broker does not say yet, said by a test."""

    def play(self, script, *arguments):
        address = self.broker.address + "-fake"
        broker = FakeBroker(address, lambda b, _: (script(b), b.bye(Code.SHUTDOWN, "played")))
        self.addCleanup(broker.close)
        sub = self.start("sub", "-a", address, "-v", *arguments, "a")
        sub.wait_line("ready", "err")
        return sub

    def test_json_shows_every_kind_of_header(self):
        headers = {"s": "t", "b": b"\xff\0", "i": -5, "u": 2**64 - 1, "f": 1.5, "whole": 3.0,
                   "t": True, "n": None}
        sub = self.play(lambda b: b.deliver("a", b"x", headers), "--json")
        line = sub.out.next_line()
        self.assertEqual(json.loads(line)["headers"], {**headers, "b": {"base64": "/wA="}})
        self.assertIn('"whole":3.0', line)

    def test_json_shows_retained_redelivered_and_withheld(self):
        sub = self.play(lambda b: b.deliver("a", b"x", flags=Flag.RETAINED, redelivered=2,
                                            withheld=3, age_ms=3600000), "--json")
        message = json.loads(sub.out.next_line())
        self.assertEqual((message["retained"], message["redelivered"], message["fds_withheld"]),
                         (True, 2, 3))
        sent = datetime.datetime.strptime(message["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
        age = (datetime.datetime.utcnow() - sent).total_seconds()
        self.assertAlmostEqual(age, 3600, delta=30)

    def test_json_names_the_kinds_of_descriptors(self):
        directory = self.tmpdir()
        (directory / "file").write_bytes(b"x")
        pipe = os.pipe()
        fds = [os.open(directory / "file", os.O_RDONLY), os.open(directory, os.O_RDONLY), *pipe,
               os.memfd_create("m"), os.eventfd(0), os.open("/dev/null", os.O_RDONLY)]
        sub = self.play(lambda b: (b.deliver("a", b"x", fds=fds),
                                   b.deliver("a", b"x", fds=[b.sock.fileno()])), "--json")
        kinds = [fd["kind"] for fd in json.loads(sub.out.next_line())["fds"]]
        linux = ["file", "other"] if harness.IS_PORTABLE else ["memfd", "eventfd"]
        self.assertEqual(kinds, ["file", "dir", "pipe", "pipe", *linux, "other"])
        self.assertEqual(json.loads(sub.out.next_line())["fds"], [{"kind": "socket"}])
        for fd in fds:
            os.close(fd)

    def test_fd_cat_prints_files_from_the_start_and_pipes_to_the_end(self):
        path = self.tmpdir() / "file"
        path.write_bytes(b"the whole file\n" * 10000)
        file = os.open(path, os.O_RDONLY)
        os.lseek(file, 5, os.SEEK_SET)
        read, write = os.pipe()
        os.write(write, b"from a pipe\n")
        os.close(write)
        eventfd = os.eventfd(0)
        sub = self.play(lambda b: b.deliver("a", b"with", fds=[file, read, eventfd]), "--fd-cat",
                        "-n", "1")
        result = sub.result()
        self.assertEqual(result.status, 0)
        self.assertEqual(result.out, b"a with\n" + path.read_bytes() + b"from a pipe\n")
        self.assertEqual(result.err.splitlines()[-1], b"sub: a: descriptor 2 has no content")
        self.assertEqual(os.lseek(file, 0, os.SEEK_CUR), 5)     # it was the sender's to move
        for fd in (file, read, eventfd):
            os.close(fd)

    def test_fd_cat_of_a_pipe_that_stays_open_ends_with_sigterm(self):
        read, write = os.pipe()
        os.write(write, b"so far")
        sub = self.play(lambda b: b.deliver("a", b"x", fds=[read]), "--fd-cat")
        sub.out.wait_bytes(len(b"a x\nso far"))
        sub.signal(signal.SIGTERM)
        self.assertEqual(sub.result()[:2], (0, b"a x\nso far"))
        os.close(read)
        os.close(write)

    def test_losses_are_told_in_their_place(self):
        def script(broker):
            broker.deliver("a", b"1")
            broker.gap(17, GAP_OVERFLOW)
            broker.deliver("a", b"2")

        sub = self.play(script, "--json")
        events = [json.loads(sub.out.next_line()) for _ in range(3)]
        self.assertEqual(events[1], {"event": "gap", "filter": "a", "count": 17,
                                     "reason": "overflow"})
        self.assertEqual((events[0]["payload"], events[2]["payload"]), ("1", "2"))
        sub.wait_line("sub: a: 17 messages lost (overflow)", "err")


class RealFileTest(harness.TestCase):

    def test_a_real_file_arrives_whole_and_in_order_on_both_addresses(self):
        # The headers of the C library, one behind the other: on every machine that can build this,
        # text of many people and decades, some of it not UTF-8; tens of thousands of lines.
        headers = sorted(Path("/usr/include").glob("*.h"))
        content = b"".join(header.read_bytes() for header in headers)
        lines = content.split(b"\n")[:-1]
        self.assertGreaterEqual(len(lines), 10000)
        path = self.tmpdir() / "headers"
        path.write_bytes(content)

        raw = self.start_ready("sub", "-a", self.broker.address, "--raw", "-n", len(lines), "h.>")
        plain = self.start_ready("sub", "-a", self.broker.path, "-n", len(lines), "h.all")
        self.expect(0, "pub", "-a", self.broker.path, "--lines", "-f", path, "h.all", err="")
        self.assertEqual(raw.result().out, b"".join(lines))
        self.assertEqual(plain.result().out, b"".join(b"h.all " + line + b"\n" for line in lines))


if __name__ == "__main__":
    harness.main()
