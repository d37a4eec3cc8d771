"""Policy files: what is read, what is refused and with which line, and `--check-policy`."""

import os

import harness
from wire_case import PlaceTest

# A file, the line that is named (0: none), and a part of what is said.
BAD = (
    (b"[user no-such-user]\nconnect = yes\n", 2, "no user 'no-such-user'"),
    (b"[group no-such-group]\nconnect = yes\n", 2, "no group"),
    (b"[user 4294967295]\nconnect = yes\n", 2, "no user"),
    (b"[user -1]\nconnect = yes\n", 2, "no user"),
    (b"[everybody]\nconnect = yes\n", 2, r"expected \[any\]"),
    (b"[any thing]\nconnect = yes\n", 2, r"expected \[any\]"),
    (b"[user " + b"u" * 60 + b"]\nconnect = yes\n", 2, "too long"),
    (b"connect = yes\n", 1, "before any section"),
    (b"[any\nconnect = yes\n", 1, "expected"),
    (b"[any]\n\n# fine\nnonsense\n", 4, "expected"),
    (b"[any]\nfly = yes\n", 2, "no such word: fly"),
    (b"[any]\nconnect = maybe\n", 2, "expected yes or no"),
    (b"[any]\nsee-sys = no\n", 2, "leave it out"),
    (b"[any]\npublish = a\nsubscribe = a..b\n", 3, "'a..b' is not a filter"),
    (b"[any]\npublish = a\n          b.\n", 3, "'b.' is not a filter"),
    (b"[any]\npublish = $sys.>\n", 2, "see-sys"),
    (b"[any]\npublish =\n", 2, "leave it out"),
    (b"[any]\n  publish = a\n  subscribe = b\n", 2, "not indented"),
    (b"[any]\npublish = a\n  subscribe = b\n", 3, "not indented"),
    (b"[any]\nuid_sessions = 0\n", 2, "must be 1 to"),
    (b"[any]\nuid_sessions = 1.5\n", 2, "not a whole number"),
    (b"[any]\nuid_queue_bytes = 2T\n", 2, "not a whole number"),
    (b"[any]\nuid_queue_bytes = 1099511627777\n", 2, "must be|not a whole"),
    (b"[any]\nuid_queue_bytes = 1099511627776G\n", 2, "must be"),
    (b"[any]\nuid_fds = 17179869185G\n", 2, "must be"),       # 2**30 in 64 bits
    (b"[any]\nuid_queue_bytes = -1\n", 2, "not a whole number"),
    (b"[any]\nsessions = 5\n", 2, "no such word"),
    (b"[any]\npublish = a\x00b\n", 2, "NUL"),
    (b"[any]\npublish = " + b"a" * 300 + b"\n", 2, "longer than"),
    (b"[any]\npublish = \xff\xfe\n", 2, "not a filter"),
    # What a lenient reader would take for a part of the list before it, and so grant.
    (b"[any]\npublish = a\n  [user 4711]\nsee-sys = yes\n", 3, "nor is .SECTION"),
    (b"[any]\npublish = a\n  subscribe : b\n", 3, "not indented"),
    (b"[any]\npublish = a\n  subscribe: b\n", 3, "not indented"),
    (b"[any]\npublish = a\n\fsubscribe = b\n", 3, "control"),
    (b"[any]\npublish = a\n\vb.>\n", 3, "control"),
    (b"[any]\npublish = a\rsubscribe = b\n", 2, "control"),
    # What it would pass over.
    (b"[user 4711] connect = no\n[any]\nconnect = yes\n", 1, "stands alone"),
    (b"[any]\nconnect: yes\n", 2, "expected NAME = VALUE"),
)

GOOD = b"""\
\xef\xbb\xbf; who may use the bus
[user 4711]\r
publish = sensors.> weather.*     # inline
          home.%uid.>             ; and here

# a line of its own
          late
subscribe = #hash;tag
[any]
connect = yes
uid_queue_bytes = 4M
uid_fds=0
[user 4712]
connect = no
"""

EXPLAINED = """\
user 4711 (uid 4711):
  may publish sensors.>, weather.*, home.%uid.>, late
any:
  may connect
  uid_queue_bytes is 4194304
  uid_fds is 0
user 4712 (uid 4712):
  may not connect
"""


class PolicyFile(PlaceTest):
    def write(self, content, mode=0o600):
        path = self.at("policy.conf")
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def test_a_good_one_is_explained(self):
        text = GOOD.replace(b"subscribe = #hash;tag\n", b"")
        result = harness.run("broker", "--check-policy", self.write(text))
        self.assertEqual((result.status, result.out.decode(), result.err), (0, EXPLAINED, b""))

    def test_an_empty_one_lets_nobody_in(self):
        for text in (b"", b"\n", b"# nothing\n", b"[any]\n"):
            result = harness.run("broker", "--check-policy", self.write(text))
            self.assertEqual(result.status, 0)
            self.assertIn(b"Nobody but", result.out)

    def test_a_bad_one_is_told_with_its_line(self):
        for text, line, why in BAD:
            path = self.write(text)
            where = f"{path}:{line}: "
            with self.subTest(text=text):
                self.fails(1, "--check-policy", path, said=f"{where}[^\n]*{why}")
                self.fails(1, "--listen", self.name, "--policy", path, said=where)

    def test_what_is_no_file_of_ours_is_not_read(self):
        os.mkfifo(self.at("fifo"))
        os.mkdir(self.at("dir"))
        os.symlink("nowhere", self.at("dangling"))
        for path, why in ((self.at("fifo"), "regular"), (self.at("dir"), "regular"),
                          ("/dev/null", "regular"), (self.at("dangling"), "No such file"),
                          (self.at("missing"), "No such file")):
            self.fails(1, "--check-policy", path, said=why)
        self.fails(1, "--check-policy", self.write(b"", mode=0o606), said="everybody may write")
        self.fails(1, "--check-policy", self.write(b"#" * (1 << 20) + b"\n"), said="1 MiB")

    def test_a_relative_path_counts_from_where_bazel_was_called(self):
        self.write(b"[any]\nconnect = yes\n")
        env = harness.clean_env(BUILD_WORKING_DIRECTORY=self.directory)
        result = harness.run("broker", "--check-policy", "policy.conf", env=env)
        self.assertEqual((result.status, result.out), (0, b"any:\n  may connect\n"))


if __name__ == "__main__":
    harness.main()
