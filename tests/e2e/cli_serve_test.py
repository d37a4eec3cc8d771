"""`request` and `serve`, as their --help and the README promise them."""

import os
import re
import select
import signal
import threading
import time

import harness
from wire_client import Session
from wire_codec import Delivery, Flag

PAYLOAD_BYTES = 100000          # more than one frame holds


class Responder:
    """Answers one request with a script: a client of the wire protocol in a thread."""

    def __init__(self, address, topic, script):
        self._session = Session.connect(address, timeout=harness.DEADLINE_S)
        self._session.hello("responder")
        self._session.answer(self._session.sub(1, topic))
        self._script = script
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        request = self._session.take(lambda event: isinstance(event, Delivery)
                                     and event.flags & Flag.REQUEST)
        self._script(self._session, request)

    def close(self):
        self._thread.join(harness.DEADLINE_S)
        self._session.close()


class RequestTest(harness.TestCase):

    def respond(self, script, topic="svc"):
        responder = Responder(self.broker.address, topic, script)
        self.addCleanup(responder.close)

    def test_the_reply_is_printed_as_it_is(self):
        self.start_ready("serve", "--echo", "svc")
        payload = bytes(range(256)) * 100
        self.assertEqual(self.expect(0, "request", "svc", "-", stdin=payload, err=""), payload)
        self.assertEqual(self.expect(0, "request", "svc", "no newline", err=""), b"no newline")
        self.assertEqual(self.expect(0, "request", "svc", err=""), b"")

    def test_on_a_terminal_a_newline_is_added(self):
        self.start_ready("serve", "--echo", "svc")
        for payload, shown in ((b"text", b"text\r\n"), (b"line\n", b"line\r\n")):
            ours, theirs = os.openpty()
            request = self.start("request", "svc", "-", stdout=theirs)
            os.close(theirs)
            request.stdin.write(payload)
            request.close_stdin()
            self.assertEqual(request.wait(), 0)
            self.assertEqual(os.read(ours, 100), shown)
            os.close(ours)

    def test_several_replies_are_a_line_each(self):
        def script(session, request):
            for payload, more in ((b"one", True), (b"two\n", True), (b"three", False)):
                session.reply(request.token, payload, more=more)

        self.respond(script)
        self.assertEqual(self.expect(0, "request", "svc", err=""), b"one\ntwo\nthree\n")

    def test_a_reply_that_failed_is_the_error_line(self):
        self.respond(lambda session, request:
                     session.reply(request.token, b"out of paper\n\x1b[31m", failed=True))
        self.expect(1, "request", "svc", err="request: svc: out of paper  [31m")

    def test_no_responders_are_status_6_at_once(self):
        began = time.monotonic()
        self.expect(6, "request", "svc", err="request: svc: no responders")
        self.start_ready("sub", "--observer", "svc")
        self.expect(6, "request", "svc", err="request: svc: no responders")
        self.assertLess(time.monotonic() - began, 10)

    def test_a_reply_that_does_not_come_in_time_is_status_4(self):
        self.respond(lambda *_: None)
        began = time.monotonic()
        result = self.run_tool("request", "-w", "0.3", "svc")
        self.assertGreaterEqual(time.monotonic() - began, 0.25)
        self.assertEqual(result.status, 4, result)
        self.assertRegex(result.err, rb"\Arequest: svc: [^\n]+\n\Z")

    def test_a_responder_that_dies_is_a_failure_at_once(self):
        fifo = self.tmpdir() / "fifo"
        os.mkfifo(fifo)
        serve = self.start_ready("serve", "svc", "--", "sh", "-c", f"echo $$ >&2; exec cat {fifo}")
        request = self.start("request", "svc", "x")
        child = int(serve.wait_line(re.compile(r"\d+"), "err"))
        serve.signal(signal.SIGKILL)
        result = request.result()
        self.assertEqual(result.status, 1, result)
        self.assertRegex(result.err, rb"\Arequest: svc: [^\n]+\n\Z")
        os.kill(child, signal.SIGKILL)

    def test_refused_topics_and_wrong_ones(self):
        self.expect(6, "request", "$sys.nothing", err="request: $sys.nothing: no responders")
        self.expect(2, "request", "a..b",
                    err="request: 'a..b' is no topic: an empty token")

    def test_a_broker_killed_meanwhile_is_status_3(self):
        self.respond(lambda session, request: self.broker.kill())
        result = self.run_tool("request", "svc")
        self.assertEqual(result.status, 3)
        self.assertRegex(result.err.decode(), rf"\Arequest: {self.broker.address}: [^\n]+\n\Z")

    def test_headers_go_with_it(self):
        seen = []

        def script(session, request):
            seen.append(request.headers)
            session.reply(request.token)

        self.respond(script)
        self.expect(0, "request", "-H", "unit=C", "svc", "x", err="")
        self.assertEqual(seen, [{"unit": "C"}])

    def test_wrong_command_lines_are_usage_errors(self):
        for arguments, complaint in (
                ([], "no topic"),
                (["a", "b", "c"], "unexpected argument 'c'"),
                (["-w", "0", "a"], "-w 0: must be more than 0"),
                (["-w", "", "a"], "-w : not a number of seconds")):
            with self.subTest(arguments):
                self.expect(2, "request", *arguments, err=f"request: {complaint} (see --help)")


class ServeTest(harness.TestCase):

    def serve(self, *arguments, **options):
        return self.start_ready("serve", *arguments, **options)

    def test_a_command_reads_the_payload_and_writes_the_reply(self):
        self.serve("svc", "--", "tr", "a-z", "A-Z")
        self.assertEqual(self.expect(0, "request", "svc", "hello", err=""), b"HELLO")

    def test_a_large_payload_goes_through(self):
        self.serve("svc.*", "--", "cat")
        payload = os.urandom(1 << 20)
        self.assertEqual(self.expect(0, "request", "svc.x", "-", stdin=payload, err=""), payload)

    def test_a_command_that_does_not_read_its_stdin_is_no_problem(self):
        self.serve("svc", "--", "echo", "done")
        out = self.expect(0, "request", "svc", "-", stdin=bytes(65000), err="")
        self.assertEqual(out, b"done\n")

    def test_the_environment_tells_topic_and_sender(self):
        self.serve("svc.>", "--", "sh", "-c", "env | grep ^BATON_ | grep -v ADDRESS | sort")
        request = self.start("request", "svc.a.b")
        result = request.result()
        self.assertRegex(result.out.decode(),
                         rf"\ABATON_FDS=0\nBATON_SENDER_GID={os.getgid()}\n"
                         rf"BATON_SENDER_PID={harness.pid_said(request.pid)}\n"
                         rf"BATON_SENDER_SESSION=\d+\nBATON_SENDER_UID={os.getuid()}\n"
                         r"BATON_TOPIC=svc\.a\.b\n\Z")

    def test_another_exit_status_is_a_failure(self):
        self.serve("svc", "--", "sh", "-c", "echo ignored; exit 3")
        self.expect(1, "request", "svc", err="request: svc: sh exited with 3")

    def test_a_command_that_is_killed_is_a_failure(self):
        self.serve("svc", "--", "sh", "-c", "kill -9 $$")
        self.expect(1, "request", "svc", err="request: svc: sh was killed by signal 9")

    def test_a_command_that_is_not_there_is_said_before_anybody_asks_for_it(self):
        for command, why in (("/nonexistent", "No such file or directory"),
                             ("no-such-command", "No such file or directory"),
                             ("/etc/passwd", "Permission denied")):
            self.expect(2, "serve", "svc", "--", command, err=f"serve: {command}: {why}")

    def test_what_runs_in_the_background_does_not_delay_the_reply(self):
        fifo = self.tmpdir() / "fifo"
        os.mkfifo(fifo)
        self.serve("svc", "--", "sh", "-c", f"cat {fifo} & echo started")
        self.assertEqual(self.expect(0, "request", "svc", err=""), b"started\n")
        fifo.write_bytes(b"")           # lets the cat go

    def test_stderr_is_inherited_and_nothing_else_is_open(self):
        read, write = os.pipe()
        os.set_inheritable(write, True)
        serve = self.serve("svc", "--", "sh", "-c", "echo to stderr >&2; ls /proc/self/fd",
                           close_fds=False)
        # 3 is the directory that ls reads.
        self.assertEqual(self.expect(0, "request", "svc", err=""), b"0\n1\n2\n3\n")
        serve.wait_line("to stderr", "err")
        os.close(read)
        os.close(write)

    def test_sixteen_run_at_once_and_the_rest_waits(self):
        directory = self.tmpdir()
        serve = self.serve("svc", "--", "sh", "-c",
                           f"read n; echo started $n >&2; cat {directory}/$n")
        requests = {}
        for n in range(17):
            os.mkfifo(directory / str(n))
            requests[str(n)] = self.start("request", "svc", f"{n}\n")
        started = [serve.wait_line(re.compile(r"started \d+"), "err").split()[1]
                   for _ in range(16)]
        last = (set(requests) - set(started)).pop()
        for n in started[:1]:
            (directory / n).write_bytes(b"reply " + n.encode())
        serve.wait_line(f"started {last}", "err")
        for n in [*started[1:], last]:
            (directory / n).write_bytes(b"reply " + n.encode())
        for n, request in requests.items():
            self.assertEqual(request.result(), (0, b"reply " + n.encode(), b""))

    def test_a_message_that_is_no_request_is_ignored(self):
        serve = self.serve("svc", "--", "sh", "-c", "echo run >&2")
        self.expect(0, "pub", "svc", "x")
        serve.wait_line("serve: svc: not a request: ignored", "err")
        self.expect(0, "request", "svc")
        self.assertEqual(serve.err.next_line(), "run")

    def test_many_requests_to_echo(self):
        self.serve("--echo", "svc")
        session = Session.connect(self.broker.address, timeout=harness.DEADLINE_S)
        self.addCleanup(session.close)
        session.hello("asker")
        ids = [session.request("svc", b"%d" % n) for n in range(2000)]
        self.assertEqual([session.answer(i).payload for i in ids], [b"%d" % n for n in range(2000)])

    def test_more_requests_than_wait_here_are_all_answered(self):
        self.serve("svc", "--", "cat")
        session = Session.connect(self.broker.address, timeout=harness.DEADLINE_S)
        self.addCleanup(session.close)
        session.hello("asker")
        ids = [session.request("svc", b"%d" % n) for n in range(300)]
        self.assertEqual([session.answer(i).payload for i in ids], [b"%d" % n for n in range(300)])

    def test_wrong_command_lines_are_usage_errors(self):
        for arguments, complaint in (
                ([], "no topic"),
                (["svc"], "no command"),
                (["--echo", "svc", "--", "cat"], "either --echo or a command"),
                (["--window", "2", "svc", "--", "cat"], "--window is for a group"),
                (["--group", "g", "--window", "0", "svc", "--", "cat"],
                 "--window 0: must be 1 to 16")):
            with self.subTest(arguments):
                self.expect(2, "serve", *arguments, err=f"serve: {complaint} (see --help)")
        self.expect(2, "serve", "a.>.b", "--", "cat",
                    err="serve: 'a.>.b' is no filter: "
                        "* stands for a whole token, > for all at the end")

    def test_without_a_broker_the_status_is_3(self):
        nobody = harness.new_address(self.broker.directory)
        self.expect(3, "serve", "-a", nobody, "--echo", "a",
                    err=f"serve: {nobody}: {harness.NOBODY_THERE}")


class SizeTest(harness.TestCase):

    broker_options = ("--limit", f"payload_bytes={PAYLOAD_BYTES}")

    def test_the_largest_reply_arrives_and_a_larger_one_is_a_failure_even_without_end(self):
        for topic, command in (("fits", f"head -c {PAYLOAD_BYTES} /dev/zero"),
                               ("more", f"head -c {PAYLOAD_BYTES + 1} /dev/zero"),
                               ("endless", "cat /dev/zero")):
            self.start_ready("serve", topic, "--", *command.split())
        self.assertEqual(self.expect(0, "request", "fits", err=""), bytes(PAYLOAD_BYTES))
        for topic in ("more", "endless"):
            self.expect(1, "request", topic, err=f"request: {topic}: the reply is larger than a "
                        f"message can be ({PAYLOAD_BYTES} bytes)")


class EndTest(harness.TestCase):

    def blocked(self):
        """A serve with one command that runs until `fifo` is written; what waits for it."""
        fifo = self.tmpdir() / "fifo"
        os.mkfifo(fifo)
        serve = self.start_ready("serve", "svc", "--", "sh", "-c",
                                 f"echo started $$ >&2; exec cat {fifo}")
        request = self.start("request", "svc")
        child = int(serve.wait_line(re.compile(r"started \d+"), "err").split()[1])
        return serve, request, fifo, child

    def test_sigterm_lets_what_runs_finish(self):
        serve, request, fifo, _ = self.blocked()
        serve.signal(signal.SIGTERM)
        self.broker.wait_status(lambda report: report["subscriptions"] == 0)
        self.expect(6, "request", "svc", err="request: svc: no responders")
        fifo.write_bytes(b"finished")
        self.assertEqual(request.result(), (0, b"finished", b""))
        self.assertEqual(serve.wait(), 0)

    def test_sigterm_waits_5_seconds_and_kills_nothing(self):
        serve, request, fifo, child = self.blocked()
        began = time.monotonic()
        serve.signal(signal.SIGTERM)
        self.assertEqual(serve.wait(), 0)
        self.assertGreaterEqual(time.monotonic() - began, 4.9)
        serve.wait_line("serve: 1 still running, left alone", "err")
        self.assertEqual(request.result().status, 1)
        os.kill(child, 0)               # is still there
        fifo.write_bytes(b"")

    def test_sigint_of_an_idle_one_is_success_at_once(self):
        serve = self.start_ready("serve", "--echo", "svc")
        serve.signal(signal.SIGINT)
        self.assertEqual(serve.wait(), 0)

    def test_a_broker_that_is_lost_is_waited_for(self):
        serve, request, fifo, child = self.blocked()
        child_fd = os.pidfd_open(child)
        self.addCleanup(os.close, child_fd)
        self.broker.kill()
        self.assertEqual(request.result().status, 3)
        serve.wait_line(re.compile(rf"serve: {self.broker.address}: .+; reconnecting"), "err")
        self.broker.start()
        serve.wait_line(f"serve: reconnected to {self.broker.address}", "err")
        serve.wait_line("ready", "err")
        fifo.write_bytes(b"nobody wants this any more")
        select.select([child_fd], [], [], harness.DEADLINE_S)
        request = self.start("request", "svc")
        serve.wait_line(re.compile(r"started \d+"), "err")
        fifo.write_bytes(b"but this")
        self.assertEqual(request.result(), (0, b"but this", b""))


if __name__ == "__main__":
    harness.main()
