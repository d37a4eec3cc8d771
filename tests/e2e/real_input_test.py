"""Real input: a program's own binary, a log that grows, a TCP connection that changes hands."""

import os
import re
import shutil
import socket
import sys

import harness
from large_case import LARGE_S, MIB, LargeCase, digest
from wire_client import Session

LEAST_BYTES = 8 * MIB
PIECE_BYTES = 60000                     # of a payload in one packet


class BinaryTest(LargeCase):
    """The broker's own executable, over and over until it is large, arrives as it is."""

    def setUp(self):
        self.place = harness.short_tmpdir()
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.stream = f"stream:{self.place}/s"
        self.broker_options = ("--listen", self.stream)
        super().setUp()
        self.binary = self.path("binary")
        with open(harness.binary("broker"), "rb") as program:
            content = program.read()
        times = -(-LEAST_BYTES // len(content))
        self.binary.write_bytes(content * times)
        self.assertGreaterEqual(self.binary.stat().st_size, LEAST_BYTES)

    def cross(self, sending, receiving, address=None):
        env = self.broker.env(BATON_ADDRESS=address or self.broker.address)
        sub, came = self.to_file("sub", "--raw", "-n", "1", *receiving, "t", env=env)
        self.expect(0, "pub", *sending, "-f", self.binary, "t", env=env, err="", timeout=LARGE_S)
        self.check_came(sub, came, self.binary)

    def test_in_shared_memory(self):
        self.cross([], [])

    def test_in_chunks(self):
        self.cross(["--memfd", "never"], ["--memfd", "never"])

    def test_by_a_sender_and_a_receiver_that_differ(self):
        self.cross([], ["--memfd", "never"])
        self.cross(["--memfd", "never"], [])

    def test_over_a_stream(self):
        self.cross([], [], self.stream)
        self.cross(["--memfd", "never"], ["--memfd", "never"], self.stream)

    def test_in_many_small_messages_whose_order_is_kept(self):
        content = self.binary.read_bytes()
        pieces = [content[at:at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
        sub, came = self.to_file("sub", "--raw", "-n", len(pieces), "t")
        with Session.connect(self.broker.address, timeout=LARGE_S) as session:
            session.hello("publisher")
            for piece in pieces:
                last = session.publish("t", piece, form="plain", confirm=True)
            self.assertEqual(session.answer(last).value, 1)
        self.check_came(sub, came, self.binary)

    def test_line_by_line(self):
        content = self.binary.read_bytes()
        if not content.endswith(b"\n"):
            content += b"\n"
            self.binary.write_bytes(content)
        sub, came = self.to_file("sub", "-n", content.count(b"\n"), "t")
        self.expect(0, "pub", "--lines", "-f", self.binary, "t", err="", timeout=LARGE_S)
        self.assertEqual(sub.result(LARGE_S).status, 0)
        self.assertTrue(came.read_bytes() == b"".join(
            b"t " + line + b"\n" for line in content[:-1].split(b"\n")))

    def test_as_a_request_that_is_answered_with_it(self):
        self.start_ready("serve", "svc", "--", "cat")
        came = self.path("output")
        with open(came, "wb") as out:
            self.run_from(self.binary, "request", "svc", "-", stdout=out)
        self.assertEqual(digest(came), digest(self.binary))


class LogTest(LargeCase):
    """An open log file is handed to a worker, which reads on in it while it is written."""

    def setUp(self):
        super().setUp()
        self.log = self.path("log")
        self.writer = open(self.log, "a", encoding="ascii", buffering=1)
        self.addCleanup(self.writer.close)

    def write(self, *lines):
        for line in lines:
            self.writer.write(line + "\n")

    def test_a_worker_counts_what_has_come_so_far(self):
        self.start_ready("serve", "count", "--", "sh", "-c", "grep -c ERROR <&3")
        reader = os.open(self.log, os.O_RDONLY)
        self.addCleanup(os.close, reader)
        errors = 0
        for round_ in range(3):
            self.write(f"{round_} ERROR disk", f"{round_} all well", f"{round_} ERROR net")
            errors += 2
            # The same open file each time: what a worker has read is not missing for the next.
            out = self.expect(0, "request", "--fd", f"/dev/fd/{reader}", "count",
                              pass_fds=[reader], err="")
            self.assertEqual(int(out), errors)

    def test_a_worker_follows_it_while_it_grows(self):
        # It says what it sees, and ends with the line that says so.
        follow = ("tail -n +1 -s 0.02 -f <&3 | while read -r line; do echo \"saw $line\" >&2; "
                  "case $line in *ERROR*) echo \"$line\";; END) break;; esac; done")
        serve = self.start_ready("serve", "follow", "--", "sh", "-c", follow)
        self.write("1 all well", "2 ERROR disk")
        request = self.start("request", "--fd", self.log, "follow")
        serve.wait_line("saw 2 ERROR disk", "err")
        self.write("3 all well", "4 ERROR net")
        serve.wait_line("saw 4 ERROR net", "err")
        self.log.rename(self.directory / "log.1")           # rotated: it has the file, not the name
        self.write("5 ERROR fan")
        serve.wait_line("saw 5 ERROR fan", "err")
        self.write("END")
        self.assertEqual(request.result(),
                         (0, b"2 ERROR disk\n4 ERROR net\n5 ERROR fan\n", b""))

    def test_everybody_who_watches_gets_it_whole(self):
        self.write(*(f"line {number}" for number in range(20000)))
        subs = [self.to_file("sub", "--raw", "--fd-cat", "-n", "1", "log") for _ in range(3)]
        self.expect(0, "pub", "--fd", self.log, "log", err="")
        for sub, came in subs:
            self.check_came(sub, came, self.log)


# What answers the TCP client: reads one line from the connection, which is descriptor 3.
ANSWER = """
import os, socket
connection = socket.socket(fileno=3)
line = connection.makefile("rb").readline()
connection.sendall(b"pid %d says " % os.getpid() + line)
print("answered", os.getpid())
"""


class ConnectionTest(LargeCase):
    """A TCP connection that one process has accepted is served by another."""

    def setUp(self):
        super().setUp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)

    def dial(self):
        """The client's end, and the descriptor of the one that was accepted for it."""
        client = socket.create_connection(self.listener.getsockname())
        client.settimeout(harness.DEADLINE_S)
        self.addCleanup(client.close)
        accepted, _ = self.listener.accept()
        return client, accepted

    def test_a_worker_answers_the_client_itself(self):
        self.start_ready("serve", "tcp", "--", sys.executable, "-c", ANSWER)
        for number in range(3):
            client, accepted = self.dial()
            with accepted:
                request = self.start("request", "--fd", f"/dev/fd/{accepted.fileno()}", "tcp",
                                     pass_fds=[accepted.fileno()])
            client.sendall(b"hello %d\n" % number)
            answer = client.makefile("rb").read()           # to the end: nobody else has it
            worker = int(re.fullmatch(rb"pid (\d+) says hello %d\n" % number, answer)[1])
            self.assertEqual(request.result(), (0, b"answered %d\n" % worker, b""))
            self.assertNotIn(worker, (os.getpid(), request.pid))

    def test_a_subscriber_reads_what_the_client_sends(self):
        sub = self.start_ready("sub", "--raw", "--fd-cat", "-n", "1", "tcp")
        client, accepted = self.dial()
        with accepted:
            self.expect(0, "pub", "--fd", f"/dev/fd/{accepted.fileno()}", "tcp",
                        pass_fds=[accepted.fileno()], err="")
        client.sendall(b"over TCP, ")
        sub.out.wait_bytes(len(b"over TCP, "))
        client.sendall(b"to the end")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(sub.result().out, b"over TCP, to the end")
        self.assertEqual(client.recv(1), b"")


if __name__ == "__main__":
    harness.main()
