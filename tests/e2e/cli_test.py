"""What all tools share, `baton`, `status` and `demo`, as --help and the README promise it."""

import json
import os
import re
import shutil
import socket

import harness

TOOLS = ("pub", "sub", "request", "serve", "status", "demo")
# What each tool needs on its command line.
ARGUMENTS = {"pub": ["a", "x"], "sub": ["a"], "request": ["a"], "serve": ["--echo", "a"],
             "status": []}


class CommonTest(harness.TestCase):

    def test_help_and_version(self):
        for tool in TOOLS:
            with self.subTest(tool):
                usage = self.expect(0, tool, "--help", err="").decode()
                self.assertTrue(usage.startswith(f"usage: {tool} "), usage)
                self.assertIn("Exit status:", usage)
                self.assertTrue(all(len(line) <= 90 for line in usage.splitlines()), usage)
                self.assertEqual(self.expect(0, tool, "-h", err="").decode(), usage)
                self.assertRegex(self.expect(0, tool, "-V", err="").decode(),
                                 rf"\A{tool} \(baton\) \d+\.\d+\.\d+\n\Z")

    def test_help_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            pub = self.start("pub", "--help", stdout=full)
        self.assertEqual(pub.result()[::2], (1, b"pub: stdout: No space left on device\n"))

    def test_unknown_options_are_usage_errors(self):
        for tool in TOOLS:
            with self.subTest(tool):
                self.expect(2, tool, "--nonsense", err=f"{tool}: unrecognized option '--nonsense'")
                self.expect(2, tool, "-a", err=f"{tool}: option requires an argument -- 'a'")

    def test_bad_addresses_are_usage_errors(self):
        for tool, arguments in ARGUMENTS.items():
            result = self.run_tool(tool, "-a", "nonsense", *arguments)
            self.assertEqual(result.status, 2)
            self.assertRegex(result.err.decode(), rf"\A{tool}: address: [^\n]+\n\Z")

    def test_no_broker_is_status_3(self):
        for tool, arguments in ARGUMENTS.items():
            nobody = harness.new_address(self.broker.directory)
            self.expect(3, tool, "-a", nobody, *arguments,
                        err=f"{tool}: {nobody}: {harness.NOBODY_THERE}")
            self.expect(3, tool, "-a", "/nonexistent/b", *arguments,
                        err=f"{tool}: /nonexistent/b: no such socket (is the broker running?)")

    def test_a_broker_of_an_unexpected_uid_is_not_trusted(self):
        self.expect(3, "pub", "-a", self.broker.address + "?uid=12345", "a",
                    err=f"pub: {self.broker.address}: held by "
                    f"{harness.who(self.broker.pid, os.getuid())}, expected uid 12345")

    def test_another_type_of_socket_is_named(self):
        path = os.path.join(self.broker.directory, "s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.bind(path)
            stream.listen()
            self.expect(3, "pub", "-a", path, "a",
                        err=f"pub: {path}: another type of socket: use stream:{path}")

    def test_the_next_address_is_tried_with_a_warning(self):
        nobody = harness.new_address(self.broker.directory)
        self.expect(0, "pub", "-a", f"{nobody},{self.broker.path}", "a",
                    err=f"pub: skipped: {nobody}: {harness.NOBODY_THERE}")

    def test_relative_socket_paths_are_the_callers_under_bazel_run(self):
        env = self.broker.env(BUILD_WORKING_DIRECTORY=self.broker.directory, BATON_ADDRESS="./b")
        self.expect(0, "pub", "a", err="", env=env, cwd="/")

    def test_verbose_says_to_whom_it_is_connected(self):
        result = self.run_tool("pub", "-v", "a")
        pid = "" if harness.IS_PORTABLE else f"pid {self.broker.pid}, "
        self.assertRegex(result.err.decode(), rf"\Apub: connected to {self.broker.address} "
                         rf"\({pid}uid {os.getuid()}\), session \d+\n\Z")

    def test_closed_standard_descriptors_do_no_harm(self):
        sub = self.start_ready("sub", "-n", "1", "a")
        binary = harness.binary("pub")
        done = self.run_tool("/bin/sh", "-c", f'"{binary}" a x <&- >&- 2>&-')
        self.assertEqual(done.status, 0)
        self.assertEqual(sub.result().out, b"a x\n")


class BatonTest(harness.TestCase):

    def test_every_tool_is_in_it(self):
        sub = self.start("baton", "sub", "-v", "-n", "1", "a")
        sub.wait_line("ready", "err")
        self.expect(0, "baton", "pub", "a", "x", err="")
        self.assertEqual(sub.result().out, b"a x\n")
        for tool in TOOLS:
            self.assertIn(f"usage: {tool} ".encode(), self.expect(0, "baton", tool, "--help"))

    def test_errors_bear_the_name_of_the_tool(self):
        self.expect(2, "baton", "pub", "--nonsense", err="pub: unrecognized option '--nonsense'")

    def test_the_name_it_is_called_by_chooses_the_tool(self):
        directory = self.tmpdir()
        for name in ("pub", "baton-pub"):
            link = directory / name
            link.symlink_to(harness.binary("baton"))
            self.assertIn(b"usage: pub ", self.expect(0, str(link), "--help", err=""))

    def test_help_lists_the_tools(self):
        usage = self.expect(0, "baton", "--help", err="").decode()
        for tool in TOOLS:
            self.assertRegex(usage, rf"(?m)^  {tool} ")
        self.assertRegex(self.expect(0, "baton", "--version"), rb"\Abaton \(baton\) \d")
        self.expect(2, "baton", err="baton: no tool named (see --help)")
        self.expect(2, "baton", "dance", err="baton: no tool 'dance' (see --help)")


class StatusTest(harness.TestCase):

    def test_json_is_one_line_with_the_promised_keys(self):
        sub = self.start_ready("sub", "a", "b")
        self.expect(0, "pub", "a", "x")
        sub.wait_line("a x")
        self.broker.wait_status(lambda report: report["sessions"] == 2)
        out = self.expect(0, "status", "--json", err="")
        self.assertEqual(out.count(b"\n"), 1)
        report = json.loads(out)
        self.assertEqual(report["subscriptions"], 2)
        self.assertEqual(report["broker"]["pid"], self.broker.pid)
        for key in ("topics", "requests", "published", "delivered", "queued", "waiting", "parked",
                    "dropped"):
            self.assertIsInstance(report[key], int)
        clients = {client["name"]: client for client in report["clients"]}
        self.assertEqual(clients["sub"]["pid"], harness.pid_said(sub.pid))

    def test_the_table_shows_broker_counts_and_clients(self):
        sub = self.start_ready("sub", "a", "b")
        lines = self.expect(0, "status", err="").decode().splitlines()
        self.assertRegex(lines[0], rf"^baton \d+\.\d+\.\d+ at {self.broker.address}, "
                         rf"pid {self.broker.pid}, uid {os.getuid()}, up for \d+ s$")
        self.assertRegex(lines[1], r"^instance [0-9a-f]{32}$")
        self.assertRegex("\n".join(lines), r"(?m)^subscriptions +2\b")
        row = next(line for line in lines if " sub " in line).split()
        self.assertEqual(row[1:6], ["sub", "open", str(harness.pid_said(sub.pid)),
                                    str(os.getuid()), "2"])
        # Columns are aligned: numbers end where their titles end.
        title = next(line for line in lines if line.lstrip().startswith("session "))
        self.assertEqual(len(title), len(next(line for line in lines if " sub " in line)))

    def test_prometheus_gets_its_text_format(self):
        self.start_ready("sub", "a", "b")
        text = self.expect(0, "status", "--prometheus", err="").decode()
        metrics = {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, _ = line[7:].split(" ", 1)
            elif line.startswith("# TYPE "):
                self.assertEqual(line.split()[2:], [name, line.split()[3]])
                self.assertEqual(line.endswith(" counter"), name.endswith("_total"))
            else:
                self.assertRegex(line, rf"^{name}(\{{[^{{}}]*\}})? [0-9.]+$")
                metrics[name] = float(line.split()[-1])
        self.assertEqual(metrics["baton_subscriptions"], 2)
        self.assertEqual(metrics["baton_sessions"], 2)
        self.assertGreaterEqual(metrics["baton_messages_published_total"], 1)
        self.assertLess(metrics["baton_uptime_seconds"], 60)

    def test_wrong_command_lines_are_usage_errors(self):
        self.expect(2, "status", "--json", "--prometheus",
                    err="status: either --json or --prometheus (see --help)")
        self.expect(2, "status", "now", err="status: unexpected argument 'now' (see --help)")


class DemoTest(harness.TestCase):

    def env(self, **more):
        return harness.clean_env(BATON_BROKER=harness.binary("broker"), **more)

    def test_the_tour_shows_what_it_says_and_leaves_nothing(self):
        demo = self.start("demo", env=self.env())
        result = demo.result()
        self.assertEqual((result.status, result.err), (0, b""), result)
        text = result.out.decode()
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        self.assertLessEqual(len(text.splitlines()), 16)
        address = r"/\S+/broker" if harness.IS_PORTABLE else f"@baton-demo-{demo.pid}"
        pid = "" if harness.IS_PORTABLE else r"pid \d+, "
        for line in (rf"broker +{address}: ", r"message +sensors\.cabin\.temp = 21\.5",
                     rf" +from {pid}uid {os.getuid()}: ", r"wildcard ", r"headers ",
                     r"request +math\.double 21 -> 42 from pid \d+, \d+ us",
                     r"nobody +math\.triple 21 -> no responders, known after \d+ us", r"stranger ",
                     r"file +inode \d+, open in pid \d+, without a name: handed over, read",
                     r"large +64 MiB, read in another process: \d+ MB/s"
                     r"(; the broker grew by \d+ KiB)?$",
                     r"speed +\d+,\d{3},\d{3} messages of 64 B a second", r" +\(this machine, now",
                     r"end ", r"next "):
            self.assertRegex(text, rf"(?m)^{line}")
        address = re.search(r"(?m)^broker +(\S+):", text)[1]
        self.expect(3, "pub", "-a", address, "a")
        self.assertFalse(os.path.exists(os.path.dirname(address)))

    def test_a_broker_that_does_not_start_is_a_failure(self):
        result = self.run_tool("demo", env=harness.clean_env(BATON_BROKER="/bin/false"))
        self.assertEqual(result.status, 1)
        self.assertEqual(result.err.splitlines()[-1].split(b": ")[-1], b"did not start")

    def test_without_a_broker_to_run_the_status_is_3(self):
        self.expect(2, "demo", "-a", "@x", env=self.env(),
                    err="demo: it starts a broker of its own: no --address (see --help)")
        self.expect(3, "demo", env=harness.clean_env(BATON_BROKER="/nonexistent"),
                    err="demo: broker: its program is not to be found: set $BATON_BROKER")

    def test_it_finds_the_broker_beside_itself_and_in_the_path(self):
        beside, path = self.tmpdir(), self.tmpdir()
        shutil.copy(harness.binary("demo"), beside / "demo")
        os.symlink(harness.binary("broker"), path / "baton-broker")
        self.expect(3, str(beside / "demo"), env=harness.clean_env(PATH="/nonexistent"))
        self.expect(0, str(beside / "demo"), env=harness.clean_env(PATH=str(path)), err="")
        os.symlink(harness.binary("broker"), beside / "broker")
        self.expect(0, str(beside / "demo"), env=harness.clean_env(PATH="/nonexistent"), err="")


if __name__ == "__main__":
    harness.main()
