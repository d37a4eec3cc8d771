"""The tools over `stream:`, and what they say of addresses."""

import shutil

import harness
from large_case import MIB, LargeCase


class StreamTest(LargeCase):

    def setUp(self):
        self.place = harness.short_tmpdir()
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.stream = f"stream:{self.place}/s"
        self.broker_options = ("--listen", self.stream)
        super().setUp()

    def env(self):
        return self.broker.env(BATON_ADDRESS=self.stream)

    def test_every_tool_works_over_it(self):
        sub = self.start_ready("sub", "-n", "1", "t", env=self.env())
        self.start_ready("serve", "svc", "--", "cat", env=self.env())
        self.expect(0, "pub", "t", "x", env=self.env(), err="")
        self.assertEqual(sub.result().out, b"t x\n")
        self.assertEqual(self.expect(0, "request", "svc", "y", env=self.env(), err=""), b"y")
        self.assertIn(self.stream.encode(), self.expect(0, "status", env=self.env(), err=""))

    def test_large_payloads_and_descriptors_too(self):
        path, passed = self.file_of(4 * MIB), self.file_of(1000)
        sub, came = self.to_file("sub", "--raw", "--fd-cat", "-n", "1", "t", env=self.env())
        self.expect(0, "pub", "-f", path, "--fd", passed, "t", env=self.env(), err="")
        both = self.path()
        both.write_bytes(path.read_bytes() + passed.read_bytes())
        self.check_came(sub, came, both)


class HelpTest(harness.TestCase):

    def test_help_names_all_ways(self):
        for tool in ("pub", "sub", "request", "serve", "status"):
            text = self.expect(0, tool, "--help").decode()
            self.assertIn("stream:/PATH", text)
            self.assertIn("$BATON_FD", text)
            self.assertEqual("dgram:/PATH" in text, tool == "pub")


if __name__ == "__main__":
    harness.main()
