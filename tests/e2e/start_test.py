"""The broker's command line: defaults, options, and what it does with its own descriptors."""

import os
import re
import resource
import signal
import subprocess
import unittest

import harness
from child import eventually
from namespace import can_have_a_run_directory, new_run_directory
from wire_case import PlaceTest, confirmed, status, subscribe, sync
from wire_socket import connect_to

BAD_ADDRESSES = (
    "", "x", "x/y", "@", "@" + "n" * 108, "/" + "p" * 103, "/tmp/", "/tmp/.", "tcp:@x",
    "stream:@x", "dgram:@x", "@x?mode=0600", "@x?group=0", "/x?mode=", "/x?mode=8", "/x?mode=1777",
    "/x?mode=0600&mode=0600", "/x?group=", "/x?group=no-such-group", "/x?uid=0", "/x?mode",
    "/x?colour=1", "@a,,@b", "@a,", ",".join(f"@{n}" for n in range(17)), "@a\n", "@a\x7f")
BAD_LIMITS = (
    "", "x", "=1", "nosuch=1", "queue_bytes", "queue_bytes=", "queue_bytes=-1",
    "queue_bytes=+70000", "queue_bytes= 70000", "queue_bytes=70k", "queue_bytes=0x11170",
    "queue_bytes=1e6", "queue_bytes=65535",
    "queue_bytes=99999999999999999999999", "drain_ms=0", "stall_ms=0",
    "window_bytes=262143", "sessions=0", "packet_bytes=100", "queue_bytes=1099511627777")


class Defaults(PlaceTest):
    def env(self, *addresses):
        return harness.clean_env(BATON_ADDRESS=",".join(addresses))

    def test_baton_address_is_the_default_and_may_have_several(self):
        broker = self.serve(self.name, listen=(), env=self.env(self.name, self.path))
        self.assertEqual(broker.listening(), [self.name, self.path])
        sync(self.connect(self.name))
        sync(self.connect(self.path))

    def test_a_default_that_is_taken_is_told_and_the_other_is_served(self):
        first = self.serve(self.name)
        second = self.serve(self.path, listen=(), env=self.env(self.name, self.path))
        self.assertEqual(second.listening(), [self.path])
        self.assertRegex(second.said(), rf"{self.name}: .*{self.who(first)}")
        sync(self.connect(self.path))

    def test_it_fails_if_all_defaults_are_taken(self):
        self.serve(self.name)
        self.fails(1, env=self.env(self.name), said=self.name)

    def test_one_address_of_the_command_line_that_is_taken_is_enough_to_fail(self):
        first = self.serve(self.name)
        before = set(os.listdir(self.directory))
        result = harness.run("broker", "--listen", self.path, "--listen", self.name)
        self.assertEqual(result.status, 1, result)
        self.assertRegex(result.err.decode(), self.who(first))
        self.assertNotIn(b"ready", result.err)
        self.assertEqual(set(os.listdir(self.directory)) - before, {"s.lock"})

    def test_a_wrong_baton_address_is_a_usage_error(self):
        self.fails(2, env=self.env("nonsense"), said="BATON_ADDRESS")


@unittest.skipIf(os.geteuid() != 0, "only root has /run/baton")
@unittest.skipUnless(can_have_a_run_directory(), "needs a mount namespace")
class RootDefaults(PlaceTest):
    DEFAULTS = ([] if harness.IS_PORTABLE else ["@baton-0"]) + ["/run/baton/baton.sock"]

    def start(self, before=lambda: None, **env):
        def prepare():
            new_run_directory()
            before()
        broker = self.serve(self.name, listen=(), preexec_fn=prepare, env=harness.clean_env(**env))
        if not env.get("BATON_ADDRESS"):
            broker.address = f"/proc/{broker.pid}/root/run/baton/baton.sock"
        return broker

    def test_the_directory_is_made_where_it_is_missing_and_open_to_all_whatever_the_umask(self):
        for umask in (0o022, 0o077, 0):
            broker = self.start(lambda umask=umask: os.umask(umask) and None)
            self.assertEqual(broker.listening(), self.DEFAULTS)
            directory = f"/proc/{broker.pid}/root/run/baton"
            self.assertEqual(oct(os.stat(directory).st_mode), oct(0o40755))
            self.assertEqual(oct(os.stat(directory + "/baton.sock").st_mode), oct(0o140600))
            sync(self.connect(directory + "/baton.sock"))
            if not harness.IS_PORTABLE:
                sync(self.connect("@baton-0"))
            broker.stop()

    def test_a_directory_that_is_there_keeps_its_mode(self):
        broker = self.start(lambda: os.mkdir("/run/baton", 0o700))
        directory = f"/proc/{broker.pid}/root/run/baton"
        self.assertEqual(oct(os.stat(directory).st_mode), oct(0o40700))

    def test_it_is_not_made_for_anybody_else(self):
        broker = self.start(BATON_ADDRESS=f"{self.name},{self.path}")
        self.assertEqual(os.listdir(f"/proc/{broker.pid}/root/run"), [])
        broker.stop()
        broker = self.start(BATON_ADDRESS=f"{self.name},/run/baton/other.sock")
        self.assertEqual(os.listdir(f"/proc/{broker.pid}/root/run"), [])
        self.assertRegex(broker.said(), "/run/baton/other.sock: No such file")

    def test_a_runtime_directory_that_sudo_left_is_not_used(self):
        broker = self.start(XDG_RUNTIME_DIR=self.directory)
        self.assertEqual(broker.listening(), self.DEFAULTS)


class CommandLine(PlaceTest):
    def test_what_is_wrong_with_an_option_is_said_in_one_line(self):
        for words in (["--nonsense"], ["-x"], ["--listen"], ["-l"], ["--limit"], ["stray"],
                      ["--help=1"], ["--", "stray"],
                      *(["--listen", address] for address in BAD_ADDRESSES),
                      *(["--limit", limit] for limit in BAD_LIMITS)):
            self.fails(2, *words)

    def test_too_many_addresses_in_all_are_a_usage_error(self):
        words = [word for n in range(17) for word in ("--listen", f"./{n}")]
        self.fails(2, *words, said="16|more than")

    def test_help_and_version_go_to_stdout_and_end_with_0(self):
        for word in ("--help", "-h"):
            result = harness.run("broker", word)
            self.assertEqual((result.status, result.err), (0, b""))
            for known in (b"--listen", b"--limit", b"--help", b"--version", b"queue_bytes",
                          b"window_bytes", b"drain_ms", b"BATON_ADDRESS"):
                self.assertIn(known, result.out)
            self.assertLessEqual(max(map(len, result.out.splitlines())), 80)
        for word in ("--version", "-V"):
            result = harness.run("broker", word)
            self.assertEqual((result.status, result.err), (0, b""))
            self.assertRegex(result.out, rb"\Abroker \(baton\) \d+\.\d+\.\d+\n\Z")

    def test_every_limit_works_at_its_least(self):
        text = harness.run("broker", "--help").out.decode()
        names = re.search(r"change a limit.*?:([a-z_\s]+)-h", text, re.S)[1].split()
        least = {}
        for name in names:
            # The second is wrong in any case, or the broker would serve.
            result = harness.run("broker", "--limit", f"{name}=0", "--limit", "wrong")
            found = re.search(rb"must be (\d+) to", result.err)
            least[name] = int(found[1]) if found else 0
        self.assertGreater(len(least), 10)
        calm = {"sessions": 2, "drain_ms": 1000, "handshake_ms": 10000, "stall_ms": 10000}
        self.serve(self.name, limits=dict.fromkeys(least, 2**40))
        self.serve(self.name + "2", limits={**least, **calm})
        session = self.connect(self.name + "2")
        subscribe(session, "a.*")
        self.assertEqual(confirmed(session, "a.b"), 1)
        self.assertEqual(status(session)["sessions"], 1)

    def test_a_start_that_fails_says_why_and_leaves_nothing(self):
        result = harness.run("broker", "--listen", self.name, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (11, 11)))
        self.assertEqual((result.status, result.out), (1, b""), result)
        self.assertRegex(result.err.decode(), r"\nbroker: cannot start: Too many open files\n\Z")

    def test_sigint_ends_it_like_sigterm(self):
        broker = self.serve(self.name)
        broker.process.signal(signal.SIGINT)
        self.assertEqual(broker.process.wait(), 0)
        broker.check_report()


class Streams(PlaceTest):
    """Whatever became of its standard streams, it serves."""

    def start(self, **options):
        """Start it bare: nobody reads what it says."""
        process = subprocess.Popen([harness.binary("broker"), "--listen", self.name],
                                   env=harness.clean_env(), **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def ends_well(self, process):
        """It serves, and ends in order."""
        sync(self.connect(self.name))
        process.terminate()
        self.assertEqual(process.wait(harness.DEADLINE_S), 0)

    def test_a_full_stderr_does_not_stop_it(self):
        ends = os.pipe()
        process = self.start(stderr=ends[1])
        with open(ends[0], "rb") as reader:
            for line in reader:
                if line == b"ready\n":
                    break
            again = os.open(f"/proc/self/fd/{ends[1]}", os.O_WRONLY | os.O_NONBLOCK)
            with self.assertRaises(BlockingIOError):
                while True:
                    os.write(again, b"full")
            os.close(again)
            os.close(ends[1])
            self.ends_well(process)

    def test_a_stderr_that_nobody_has_open_does_not_stop_it(self):
        ends = os.pipe()
        process = self.start(stderr=ends[1])
        os.close(ends[1])
        with open(ends[0], "rb") as reader:
            self.assertIn(b"listening", reader.readline())
        self.ends_well(process)

    def test_closed_streams_are_not_taken_for_its_own_descriptors(self):
        process = self.start(preexec_fn=lambda: os.closerange(0, 3))
        eventually(self.is_served, "the broker serves")
        for number in range(3):
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{number}"), "/dev/null")
        self.ends_well(process)

    def is_served(self):
        try:
            connect_to(self.name).close()
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False


if __name__ == "__main__":
    harness.main()
