"""What outlives its moment, from outside: retained values, wills, time to live, presence."""

import json
import os
import signal

import harness


class KeepTest(harness.TestCase):
    """The command line against a real broker."""

    def events(self, sub):
        """What `sub --json -n ...` printed, as it ends by itself."""
        result = sub.result()
        self.assertEqual(result.status, 0, result)
        return [json.loads(line) for line in result.out.splitlines()]

    def test_a_retained_value_comes_to_who_subscribes_later(self):
        for payload in ("old", "new"):
            self.expect(0, "pub", "--retain", "conf.a", payload, err="")
        self.expect(0, "pub", "--retain", "conf.b", "x", err="")
        first, second = self.events(self.start("sub", "--json", "-n", "2", "conf.*"))
        self.assertEqual((first["topic"], first["payload"], first["retained"]),
                         ("conf.a", "new", True))
        self.assertEqual((second["topic"], second["retained"]), ("conf.b", True))
        self.assertEqual(first["sender"]["uid"], os.geteuid())
        self.expect(0, "pub", "--retain", "conf.a", "", err="")
        self.assertEqual(self.expect(0, "sub", "-n", "1", "conf.*"), b"conf.b x\n")

    def test_a_retained_descriptor_can_be_had_long_after_its_file_is_gone(self):
        path = self.tmpdir() / "file"
        path.write_bytes(b"content\n")
        self.expect(0, "pub", "--retain", "--fd", str(path), "conf.file", err="")
        path.unlink()
        for _ in range(2):
            self.assertEqual(self.expect(0, "sub", "-n", "1", "--raw", "--fd-cat", "conf.file"),
                             b"content\n")
        self.expect(0, "pub", "--retain", "conf.file", "", err="")
        self.assertEqual(self.broker.status()["descriptors"], 0)

    def test_a_large_retained_value_is_shared_not_copied(self):
        payload = os.urandom(300000)
        path = self.tmpdir() / "large"
        path.write_bytes(payload)
        self.expect(0, "pub", "--retain", "-f", str(path), "conf.large", err="")
        for options in ([], ["--memfd", "never"]):
            out = self.expect(0, "sub", "-n", "1", "--raw", *options, "conf.large")
            self.assertEqual(out, payload)
        self.expect(0, "pub", "--retain", "conf.large", "", err="")

    def test_a_will_is_published_when_its_process_is_killed(self):
        watch = self.start_ready("sub", "-n", "1", "status.*")
        dying = self.start_ready("sub", "--will", "status.sensor=gone", "whatever")
        leaving = self.start_ready("sub", "--will", "status.other=gone", "whatever")
        leaving.signal(signal.SIGTERM)
        self.assertEqual(leaving.wait(), 0)
        dying.signal(signal.SIGKILL)
        self.assertEqual(watch.result().out, b"status.sensor gone\n")

    def test_what_is_older_than_its_ttl_is_told_as_expired(self):
        self.expect(0, "pub", "--retain", "--ttl", "1", "conf.short", "x", err="")
        self.expect(0, "pub", "--retain", "--ttl", "1000000", "conf.long", "x", err="")
        # A later request has a later time; the broker need not be slept for.
        self.broker.wait_status(lambda report: report["broker"]["uptime_ms"] > 5)
        self.assertEqual(self.expect(0, "sub", "-n", "1", "conf.*"), b"conf.long x\n")

    def test_sessions_that_come_and_go_are_told(self):
        watch = self.start_ready("sub", "--json", "-n", "2", "$sys.session.*")
        self.expect(0, "pub", "a.b", "x")
        opened, closed = self.events(watch)
        self.assertEqual(opened["topic"], "$sys.session.opened")
        self.assertEqual(closed["topic"], "$sys.session.closed")
        who, gone = json.loads(opened["payload"]), json.loads(closed["payload"])
        self.assertEqual(who["session"], gone["session"])
        self.assertEqual((who["uid"], gone["reason"]), (os.geteuid(), "left"))

    def test_another_instance_of_the_broker_is_told_what_this_one_kept(self):
        """By the library, for a handle that stays connected: client:lasting_test."""
        self.expect(0, "pub", "--retain", "conf.a", "x", err="")
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.run_tool("sub", "-w", "0.2", "-n", "1", "conf.a").status, 4)


if __name__ == "__main__":
    harness.main()
