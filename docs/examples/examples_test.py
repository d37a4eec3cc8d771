"""The short examples, each run against a broker."""

import os
import signal

import harness
from example_case import ExampleTest

NUMBER = r"[0-9]+"


class OneProgramTest(ExampleTest):
    """Those that publish and receive by themselves."""

    def test_hello_gets_its_own_message_with_its_sender(self):
        result = self.example("hello")
        pid = "0" if harness.IS_PORTABLE else NUMBER
        self.assertRegex(result.out.decode(),
                         rf"\Asensors\.cabin\.temp 21\.5 \(uid {os.getuid()}, pid {pid}\)\n\Z")
        self.assertEqual(result.err, b"")

    def test_hello_names_the_broker_that_is_not_there(self):
        self.broker.stop()
        result = self.example("hello", status=1)
        self.assertIn("is the broker running?", result.err.decode())
        self.assertTrue(result.err.startswith(b"hello: "))

    def test_hello_in_cplusplus(self):
        self.assertEqual(self.example("hello_cc").out, b"21.5\n")

    def test_the_smallest_publisher(self):
        watch = self.begin("watch", "sensors.>")
        watch.wait_line("watching sensors.>")
        self.assertEqual(self.example("publish").err, b"")
        self.assertEqual(watch.out.next_line(), "sensors.cabin.temp 21.5")

    def test_headers_come_as_they_were_sent(self):
        lines = sorted(self.example("headers").out.decode().splitlines())
        self.assertEqual(lines, ["from sensor 7", "taken by 1", "unit = C"])

    def test_all_of_many_publications_are_confirmed(self):
        self.assertEqual(self.example("confirm").out, b"10000 taken, 0 failed\n")
        self.assertGreaterEqual(self.broker.status()["published"], 10000)

    def test_a_burst_arrives(self):
        self.assertEqual(self.example("burst").out, b"10000 came\n")

    def test_threads_have_a_handle_each(self):
        self.assertEqual(self.example("threads").out, b"1000 came\n")

    def test_a_child_makes_a_handle_of_its_own(self):
        lines = self.example("fork").out.decode().splitlines()
        self.assertEqual(lines[0], "from the child")
        expected = "no" if harness.IS_PORTABLE else "yes"
        self.assertEqual(lines[1:], [f"the kernel says so, too: {expected}"])

    def test_an_open_file_is_handed_over(self):
        path = self.tmpdir() / "note"
        path.write_bytes(b"what is in the file\n" * 1000)
        self.assertEqual(self.example("descriptor", path).out, path.read_bytes())

    def test_a_file_that_is_not_there_is_named(self):
        result = self.example("descriptor", "/nonexistent", status=1)
        self.assertEqual(result.err, b"descriptor: '/nonexistent': No such file or directory\n")

    def test_a_large_payload_comes_whole(self):
        for size in (0, 1, 70000, 5000000):
            data = os.urandom(size)
            result = self.example("large", stdin=data)
            self.assertEqual(result.err.decode(), f"{size} bytes\n")
            self.assertTrue(result.out == data)

    def test_errors_say_what_is_wrong_and_what_the_broker_calls_it(self):
        text = self.example("errors").err.decode()
        self.assertIn("too early: not connected: baton_connect comes first\n", text)
        self.assertRegex(text, r"bad topic: .+\n    in general: .+\n")
        self.assertRegex(text, r"request: .+\n    in general: no responders\n"
                               r"    the broker: NO_RESPONDERS\n")

    def test_connecting_without_waiting(self):
        self.assertEqual(self.example("start").out.decode(),
                         f"connected to {self.broker.address}\n")

    def test_connecting_without_waiting_to_nobody(self):
        self.broker.stop()
        result = self.example("start", status=1)
        self.assertRegex(result.err.decode(), r"\Astart: .+\n\Z")


class ServiceTest(ExampleTest):
    """serve and ask."""

    def setUp(self):
        super().setUp()
        self.serve = self.begin("serve")
        self.serve.wait_line("ready", "err")

    def test_a_reply(self):
        self.assertEqual(self.example("ask", "math.double", "21").out, b"42\n")

    def test_a_failure_that_the_responder_tells(self):
        result = self.example("ask", "math.double", "twelve", status=1)
        self.assertEqual(result.out, b"failed: not a number\n")

    def test_several_replies(self):
        self.assertEqual(self.example("ask", "math.countdown", "3").out, b"3\n2\n1\n0\n")

    def test_nobody_serves_it(self):
        result = self.example("ask", "math.triple", "21", status=1)
        self.assertEqual(result.err, b"ask: nobody serves math.triple\n")

    def test_the_broker_answers_too(self):
        self.assertIn(b'"sessions"', self.example("ask", "$sys.status", "").out)

    def test_the_service_says_why_it_ends(self):
        self.broker.stop()
        self.assertEqual(self.serve.wait(), 1)
        self.assertRegex(self.serve.err.rest().decode(), r"\nserve: .+\n\Z")


class WorkerTest(ExampleTest):
    """Jobs are not lost with a worker."""

    def worker(self):
        worker = self.begin("worker")
        worker.wait_line("ready", "err")
        return worker

    def publish(self, topic, text):
        result = harness.run("pub", "--confirm", topic, text, env=self.broker.env())
        self.assertEqual(result.status, 0, result)

    def test_what_a_killed_worker_had_goes_to_the_next(self):
        worker = self.worker()
        worker.signal(signal.SIGSTOP)
        self.publish("jobs.a", "one")
        self.broker.wait_status(lambda report: report["unacknowledged"] == 1, "job under way")
        worker.signal(signal.SIGKILL)
        self.worker().wait_line("one, again")
        self.broker.wait_status(lambda report: report["unacknowledged"] == 0, "acknowledgement")

    def test_what_fails_is_tried_again_and_ends_in_sys_dead(self):
        dead = harness.popen("sub", "-v", "-n", "1", "$sys.dead", env=self.broker.env())
        self.addCleanup(dead.end)
        dead.wait_line("ready", "err")
        worker = self.worker()
        self.publish("jobs.a", "two!")
        for line in ("two!", "two!, again", "two!, again"):
            worker.wait_line(line)
        self.assertEqual(dead.result().out, b"$sys.dead two!\n")


class ChatTest(ExampleTest):
    """Two programs that talk with each other."""

    def chat(self, name):
        chat = self.begin("chat", name)
        self.broker.wait_status(
            lambda report: any(client["pid"] in (chat.pid, 0) and client["subscriptions"]
                               for client in report["clients"]), "chat")
        return chat

    def line(self, chat, name, text):
        return f"{name} (uid {os.getuid()}, pid {harness.pid_said(chat.pid)}): {text}"

    def test_both_hear_each_other_and_not_themselves(self):
        ann, bob = self.chat("ann"), self.chat("bob")
        ann.stdin.write(b"hi bob\nhow are you?\n")      # two lines in one piece
        self.assertEqual(bob.out.next_line(), self.line(ann, "ann", "hi bob"))
        self.assertEqual(bob.out.next_line(), self.line(ann, "ann", "how are you?"))
        bob.stdin.write(b"fine\n")
        self.assertEqual(ann.out.next_line(), self.line(bob, "bob", "fine"))
        for chat in (ann, bob):
            result = chat.result()
            self.assertEqual((result.status, result.err), (0, b""))

    def test_the_last_words_are_heard(self):
        bob = self.chat("bob")
        ann = self.example("chat", "ann", stdin=b"bye\n")
        self.assertEqual(ann.out, b"")
        self.assertRegex(bob.out.next_line(), r"ann \(.*\): bye")

    def test_a_lost_broker_is_told(self):
        ann = self.chat("ann")
        self.broker.kill()
        self.assertEqual(ann.wait(), 1)
        self.assertRegex(ann.err.rest().decode(), r"\Achat: .+\n\Z")

    def test_a_name_that_is_no_token_is_refused(self):
        result = self.example("chat", "an n", stdin=b"hello\n", status=1)
        self.assertRegex(result.err.decode(), r"\Achat: .+\n\Z")


if __name__ == "__main__":
    harness.main()
