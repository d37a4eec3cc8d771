"""Descriptors through the tools: `--fd`, `--fd-cat`, and what `serve` hands to its command."""

import json
import os
import re
import select
import signal
import socket

import harness
from large_case import MIB, WAYS, LargeCase

MAX_FDS = 16


class FdCase(LargeCase):

    def text_file(self, text):
        """A file with this content."""
        path = self.path()
        path.write_bytes(text)
        return path

    def pipe(self):
        """Both ends of a pipe, which go with the test."""
        ends = os.pipe()
        for fd in ends:
            self.addCleanup(self.close, fd)
        return ends

    @staticmethod
    def close(fd):
        try:
            os.close(fd)
        except OSError:
            pass                        # the test has done it


class PubTest(FdCase):

    def kinds(self, sub):
        return [fd["kind"] for fd in json.loads(sub.out.next_line()).get("fds", [])]

    def test_each_fd_option_passes_one_descriptor_in_its_order(self):
        sub = self.start_ready("sub", "--json", "t")
        self.expect(0, "pub", "--fd", self.text_file(b"x"), "--fd", self.directory, "--fd",
                    "/dev/null", "t", err="")
        self.assertEqual(self.kinds(sub), ["file", "dir", "other"])

    def test_dev_fd_passes_a_descriptor_as_it_is(self):
        sub = self.start_ready("sub", "--json", "t")
        read, write = self.pipe()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs:
            self.expect(0, "pub", "--fd", f"/dev/fd/{write}", "--fd",
                        f"/dev/fd/{theirs.fileno()}", "t", err="",
                        pass_fds=[write, theirs.fileno()])
        self.assertEqual(self.kinds(sub), ["pipe", "socket"])
        for name, why in (("/dev/fd/999", "Bad file descriptor"),
                          ("/dev/fd/x", "No such file or directory")):
            self.expect(1, "pub", "--fd", name, "t", err=f"pub: {name}: {why}")

    def test_up_to_sixteen(self):
        sub = self.start_ready("sub", "--json", "t")
        one = ["--fd", "/dev/null"]
        self.expect(0, "pub", *one * MAX_FDS, "t", err="")
        self.assertEqual(self.kinds(sub), ["other"] * MAX_FDS)
        for tool in ("pub", "request"):
            self.expect(2, tool, *one * (MAX_FDS + 1), "t",
                        err=f"{tool}: at most 16 descriptors (see --help)")

    def test_with_everything_else(self):
        file, large = self.text_file(b"passed"), self.file_of(MIB)
        for arguments in WAYS:
            sub = self.start_ready("sub", "--json", "-n", "3", "t")
            result = self.run_tool("pub", *arguments, "-v", "--confirm", "-H", "k=v", "--count",
                                   "3", "--interval", "1", "--fd", file, "-f", large, "t")
            self.assertEqual(result.err.splitlines()[-3:], [b"confirmed: 1 receivers"] * 3)
            for line in sub.result().out.splitlines():
                message = json.loads(line)
                self.assertEqual((message["size"], message["headers"], message["fds"]),
                                 (MIB, {"k": "v"}, [{"kind": "file"}]))

    def test_each_line_has_it(self):
        sub = self.start_ready("sub", "--json", "-n", "2", "t")
        self.expect(0, "pub", "--lines", "--fd", "/dev/null", "t", stdin=b"one\ntwo\n", err="")
        lines = [json.loads(line) for line in sub.result().out.splitlines()]
        self.assertEqual([(line["payload"], line["fds"]) for line in lines],
                         [("one", [{"kind": "other"}]), ("two", [{"kind": "other"}])])


class SubTest(FdCase):

    def test_who_did_not_ask_gets_the_message_without(self):
        sub = self.start_ready("sub", "-n", "1", "t")
        self.expect(0, "pub", "--fd", "/dev/null", "t", "text", err="")
        self.assertEqual(sub.result()[:2], (0, b"t text\n"))

    def test_two_that_share_an_offset_both_get_the_whole_file(self):
        path = self.file_of(3 * MIB)
        subs = [self.to_file("sub", "--raw", "--fd-cat", "-n", "2", "t") for _ in range(2)]
        file = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.lseek(file, 1000, os.SEEK_SET)
        for _ in range(2):
            self.expect(0, "pub", "--fd", f"/dev/fd/{file}", "t", pass_fds=[file], err="")
        twice = self.text_file(path.read_bytes() * 2)
        for sub, came in subs:
            self.check_came(sub, came, twice)
        self.assertEqual(os.lseek(file, 0, os.SEEK_CUR), 1000)

    def test_memory_files_are_read_from_their_beginning_too(self):
        sub = self.start_ready("sub", "--raw", "--fd-cat", "-n", "1", "t")
        memfd = os.memfd_create("m")
        self.addCleanup(os.close, memfd)
        os.write(memfd, b"in memory")
        self.expect(0, "pub", "--fd", f"/dev/fd/{memfd}", "t", pass_fds=[memfd], err="")
        self.assertEqual(sub.result().out, b"in memory")

    def test_pipes_and_sockets_are_read_to_their_end(self):
        sub = self.start_ready("sub", "--raw", "--fd-cat", "-n", "1", "t")
        read, write = self.pipe()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.expect(0, "pub", "--fd", f"/dev/fd/{read}", "--fd", f"/dev/fd/{theirs.fileno()}",
                    "t", pass_fds=[read, theirs.fileno()], err="")
        os.write(write, b"one, ")
        sub.out.wait_bytes(len(b"one, "))
        os.write(write, b"two, ")
        os.close(write)
        sub.out.wait_bytes(len(b"one, two, "))
        ours.sendall(b"three")
        ours.close()
        self.assertEqual(sub.result().out, b"one, two, three")

    def test_what_cannot_be_read_is_said_and_nothing_else_suffers(self):
        sub = self.start_ready("sub", "--raw", "--fd-cat", "-n", "1", "t")
        _, write = self.pipe()
        unreadable = os.open(self.text_file(b"x"), os.O_WRONLY)
        self.addCleanup(os.close, unreadable)
        numbers = [write, unreadable]
        options = [word for fd in numbers for word in ("--fd", f"/dev/fd/{fd}")]
        self.expect(0, "pub", *options, "--fd", self.directory, "--fd", self.text_file(b"good"),
                    "t", pass_fds=numbers, err="")
        result = sub.result()
        self.assertEqual(result[:2], (0, b"good"))
        self.assertRegex(result.err.decode(), r"(?m)^sub: t: descriptor 0: Bad file descriptor\n"
                         r"sub: t: descriptor 1: Bad file descriptor\n"
                         r"sub: t: descriptor 2 has no content$")

    def test_a_large_payload_and_its_descriptors_come_together(self):
        path = self.file_of(MIB)
        for sending in WAYS:
            for receiving in WAYS:
                sub, came = self.to_file("sub", *receiving, "--raw", "--fd-cat", "-n", "1", "t")
                self.expect(0, "pub", *sending, "--fd", self.text_file(b"behind it"), "-f", path,
                            "t", err="")
                self.check_came(sub, came, self.text_file(path.read_bytes() + b"behind it"))


class ServeTest(FdCase):

    def serve(self, *command):
        return self.start_ready("serve", "svc", "--", *command)

    def test_descriptors_are_3_and_so_on_and_counted(self):
        self.serve("sh", "-c", "echo $BATON_FDS $BATON_SENDER_GID; cat <&3; cat <&4; cat")
        out = self.expect(0, "request", "--fd", self.text_file(b"three "), "--fd",
                          self.text_file(b"four "), "svc", "stdin", err="")
        self.assertEqual(out.decode(), f"2 {os.getgid()}\nthree four stdin")
        self.serve("sh", "-c", "echo $BATON_FDS; ls /proc/self/fd | wc -l")
        self.start_ready("serve", "none", "--", "sh", "-c", "echo $BATON_FDS")
        self.assertEqual(self.expect(0, "request", "none", err=""), b"0\n")

    def test_sixteen_of_them(self):
        self.serve("sh", "-c", "ls -1 /proc/self/fd | wc -l; cat /dev/fd/3 /dev/fd/18")
        files = [word for number in range(MAX_FDS)
                 for word in ("--fd", self.text_file(b"%d " % number))]
        # 0, 1, 2, sixteen, and the directory that ls reads.
        self.assertEqual(self.expect(0, "request", *files, "svc", err=""), b"20\n0 15 ")

    if not harness.IS_PORTABLE:         # nothing reopens a descriptor there
        def test_each_command_has_an_offset_of_its_own(self):
            file = os.open(self.text_file(b"first\nsecond\n"), os.O_RDONLY)
            self.addCleanup(os.close, file)
            os.lseek(file, 6, os.SEEK_SET)
            fifo = self.directory / "fifo"
            os.mkfifo(fifo)
            serve = self.serve("sh", "-c", "read line <&3; echo $line >&2; read order; "
                               f"[ $order = go ] || cat {fifo}; cat <&3")
            ask = ["request", "--fd", f"/dev/fd/{file}", "svc"]
            waiting = self.start(*ask, "wait\n", pass_fds=[file])
            serve.wait_line("first", "err")
            # Another reads it to its end meanwhile.
            self.assertEqual(self.expect(0, *ask, "go\n", pass_fds=[file], err=""), b"second\n")
            fifo.write_bytes(b"")
            self.assertEqual(waiting.result(), (0, b"second\n", b""))
            self.assertEqual(os.lseek(file, 0, os.SEEK_CUR), 6)

    def test_a_file_is_at_its_beginning_wherever_its_sender_stands(self):
        file = os.open(self.text_file(b"0123456789"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        self.serve("sh", "-c", "cat <&3")
        for offset in (5, 10):
            os.lseek(file, offset, os.SEEK_SET)
            self.assertEqual(self.expect(0, "request", "--fd", f"/dev/fd/{file}", "svc",
                                         pass_fds=[file], err=""), b"0123456789")

    def test_the_command_can_write_to_what_its_sender_can_write_to(self):
        path = self.text_file(b"")
        file = os.open(path, os.O_RDWR)
        read, write = self.pipe()
        self.addCleanup(os.close, file)
        self.serve("sh", "-c", "echo to the file >&3; echo to the pipe >&4")
        self.expect(0, "request", "--fd", f"/dev/fd/{file}", "--fd", f"/dev/fd/{write}", "svc",
                    pass_fds=[file, write], err="")
        os.close(write)
        self.assertEqual((path.read_bytes(), os.read(read, 100), os.read(read, 1)),
                         (b"to the file\n", b"to the pipe\n", b""))

    def test_echo_asks_for_none_and_says_so(self):
        serve = self.start_ready("serve", "--echo", "svc")
        self.assertEqual(self.expect(0, "request", "--fd", "/dev/null", "svc", "x", err=""), b"x")
        serve.wait_line("serve: svc: 1 descriptors withheld", "err")

    def test_a_command_that_cannot_be_found_is_a_usage_error_at_once(self):
        program = self.text_file(b"#!/bin/sh\n")
        for name, why in (("/nonexistent", "No such file or directory"),
                          ("no-such-program-here", "No such file or directory"),
                          (str(program), "Permission denied"),
                          (str(self.directory), "Permission denied")):
            self.expect(2, "serve", "svc", "--", name, err=f"serve: {name}: {why}")
        program.chmod(0o700)
        self.start_ready("serve", "svc", "--", program)

    def test_one_that_goes_away_later_fails_its_requests(self):
        program = self.text_file(b"#!/bin/sh\necho here\n")
        program.chmod(0o700)
        serve = self.serve(program)
        self.assertEqual(self.expect(0, "request", "svc", err=""), b"here\n")
        program.unlink()
        self.expect(1, "request", "svc", err=f"request: svc: {program} exited with 127")
        serve.wait_line(f"serve: {program}: No such file or directory", "err")

    def test_what_was_passed_is_closed_when_the_command_ends(self):
        read, write = self.pipe()
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        serve = self.serve("sh", "-c", f"echo $$ >&2; cat {fifo}")
        request = self.start("request", "--fd", f"/dev/fd/{write}", "svc", pass_fds=[write])
        serve.wait_line(re.compile(r"\d+"), "err")
        os.close(write)
        self.assertEqual(select.select([read], [], [], 0)[0], [])
        request.signal(signal.SIGKILL)      # what it held was given away long ago
        fifo.write_bytes(b"")
        self.assertTrue(select.select([read], [], [], harness.DEADLINE_S)[0])
        self.assertEqual(os.read(read, 1), b"")


if __name__ == "__main__":
    harness.main()
