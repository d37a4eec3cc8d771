"""Groups and windows, from outside: who works gets work, and nobody hoards it."""

import os
import re
import signal

import harness

LATE = "while read fifo; do cat $fifo; done"    # is at work until somebody writes into the fifo


class GroupCase(harness.TestCase):

    def fifo(self, name):
        path = self.tmpdir() / name
        os.mkfifo(path)
        return path

    @staticmethod
    def begun(fifo):
        """Wait until a command reads from it; return what ends the command when it is closed."""
        return open(fifo, "wb", buffering=0)

    def member(self, *options, topic="svc"):
        return self.start_ready("serve", "--group", "g", *options, topic, "--", "sh", "-c", LATE)


class ServeTest(GroupCase):

    def test_requests_go_to_the_member_that_is_free(self):
        self.member()
        fifo = self.fifo("slow")
        slow = self.start("request", "svc", f"{fifo}\n")
        with self.begun(fifo) as command:
            self.start_ready("serve", "--group", "g", "--echo", "svc")
            for n in range(20):
                self.assertEqual(self.expect(0, "request", "svc", f"{n}"), b"%d" % n)
            command.write(b"slow")
        self.assertEqual(slow.result().out, b"slow")

    def test_what_nobody_is_free_for_waits_and_goes_to_whoever_comes(self):
        self.member("--window", "2")
        fifos = [self.fifo(f"{n}") for n in range(2)]
        working = [self.start("request", "svc", f"{fifo}\n") for fifo in fifos]
        commands = [self.begun(fifo) for fifo in fifos]
        waits = self.start("request", "svc", "waited")
        self.broker.wait_status(lambda report: report["waiting"] == 1, "third request")
        self.start_ready("serve", "--group", "g", "--echo", "svc")
        self.assertEqual(waits.result().out, b"waited")
        for command, request in zip(commands, working):
            command.write(b"done")
            command.close()
            self.assertEqual(request.result().out, b"done")

    def test_a_member_that_is_killed_takes_only_what_it_works_on(self):
        member = self.member()
        fifo = self.fifo("slow")
        slow = self.start("request", "svc", f"{fifo}\n")
        with self.begun(fifo):
            waits = self.start("request", "svc", "waits")
            self.broker.wait_status(lambda report: report["waiting"] == 1, "second request")
            self.start_ready("serve", "--group", "g", "--echo", "svc")
            self.assertEqual(waits.result().out, b"waits")
            member.signal(signal.SIGKILL)
            result = slow.result()
        self.assertEqual(result.status, 1)
        self.assertIn(b"the responder went away", result.err)
        self.assertEqual(self.expect(0, "request", "svc", "on"), b"on")

    def test_sigterm_leaves_what_waits_to_the_others(self):
        member = self.member()
        fifo = self.fifo("slow")
        slow = self.start("request", "svc", f"{fifo}\n")
        with self.begun(fifo) as command:
            waits = self.start("request", "svc", "waits")
            self.broker.wait_status(lambda report: report["waiting"] == 1, "second request")
            self.start_ready("serve", "--group", "g", "--echo", "svc")
            self.assertEqual(waits.result().out, b"waits")
            member.signal(signal.SIGTERM)
            command.write(b"finished")
        self.assertEqual(slow.result().out, b"finished")
        self.assertEqual(member.wait(), 0)


    def test_after_a_restart_of_the_broker_a_member_is_free_once(self):
        member = self.member()
        fifos = [self.fifo(name) for name in ("old", "new", "next")]
        lost = self.start("request", "svc", f"{fifos[0]}\n")
        with self.begun(fifos[0]) as old:
            self.broker.stop()
            self.assertNotEqual(lost.result().status, 0)
            self.broker.start()
            member.wait_line(re.compile("serve: reconnected to .*"), "err")
            request = self.start("request", "svc", f"{fifos[1]}\n")
            with self.begun(fifos[1]) as new:
                old.write(b"nobody waits for this")
                old.close()
                waits = self.start("request", "svc", f"{fifos[2]}\n")
                self.broker.wait_status(lambda report: report["waiting"] == 1)
                new.write(b"new")
            self.assertEqual(request.result().out, b"new")
            with self.begun(fifos[2]) as following:
                following.write(b"next")
            self.assertEqual(waits.result().out, b"next")


class SubTest(GroupCase):

    def test_each_message_is_printed_by_one_member(self):
        members = [self.start_ready("sub", "--group", "g", "a.>") for _ in range(3)]
        everything = self.start_ready("sub", "-n", "300", "a.>")
        result = self.run_tool("pub", "-v", "--confirm", "--count", "300", "a.b", "x")
        self.assertEqual(result.status, 0, result)
        self.assertEqual(everything.result().out, b"a.b x\n" * 300)
        self.broker.wait_status(lambda report: report["waiting"] + report["queued"] == 0)
        for member in members:
            member.signal(signal.SIGTERM)
        self.assertEqual(b"".join(m.result().out for m in members), b"a.b x\n" * 300)

    def test_a_member_that_stands_still_holds_up_nobody(self):
        still = self.start_ready("sub", "--group", "g", "--window", "4", "a")
        still.signal(signal.SIGSTOP)
        self.addCleanup(still.signal, signal.SIGCONT)
        lively = self.start_ready("sub", "--group", "g", "a")
        self.expect(0, "pub", "--confirm", "--count", "1000", "a", "x")
        self.broker.wait_status(lambda report: report["waiting"] + report["queued"] == 0)
        lively.signal(signal.SIGTERM)
        n_lively = len(lively.result().out.splitlines())
        still.signal(signal.SIGCONT)
        still.signal(signal.SIGTERM)
        n_still = len(still.result().out.splitlines())
        self.assertEqual(n_lively + n_still, 1000)
        self.assertLessEqual(n_still, 4)

    def test_who_stands_still_alone_keeps_the_order(self):
        still = self.start_ready("sub", "--window", "3", "a")
        other = self.start_ready("sub", "-n", "500", "a")
        still.signal(signal.SIGSTOP)
        self.addCleanup(still.signal, signal.SIGCONT)
        lines = [b"%d" % n for n in range(500)]
        self.expect(0, "pub", "--confirm", "--lines", "a", stdin=b"\n".join(lines))
        self.assertEqual(other.result().out, b"".join(b"a %s\n" % line for line in lines))
        self.broker.wait_status(lambda report: report["waiting"] == 497, "waiting rest")
        still.signal(signal.SIGCONT)
        for line in lines:
            self.assertEqual(still.out.next_line(), f"a {line.decode()}")


if __name__ == "__main__":
    harness.main()
