"""The systemd unit that is installed: systemd understands it, finds it tight, and a broker starts
and serves under what of it can be had without systemd: its command line, its limits, its system
calls, no capabilities. What takes systemd as process 1 (mounts, namespaces, the user) is not tried.
"""

import ctypes
import os
import re
import resource
import shlex
import shutil
import subprocess
import unittest
from pathlib import Path

import harness

HERE = Path("broker/package")
MOST_EXPOSED = 1.5
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, CAP_CHOWN, CAP_LAST = 24, 38, 0, 63
SCMP_ACT_ALLOW = 0x7fff0000


def errno_action(number):
    """libseccomp's SCMP_ACT_ERRNO."""
    return 0x50000 | number


def settings(text):
    """The lines `name=value`, in their order."""
    return re.findall(r"^(\w+)=(.*)$", text, re.M)


def analyze(*words):
    """What systemd-analyze says, and its status."""
    done = subprocess.run(["systemd-analyze", "--no-pager", *map(str, words)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def calls_of(words):
    """The names of system calls that these words of SystemCallFilter= stand for."""
    found = set()
    for word in words:
        if not word.startswith("@"):
            found.add(word)
            continue
        status, text = analyze("syscall-filter", word)
        assert status == 0, text
        lines = [line.strip() for line in text.splitlines()[1:]]
        found |= calls_of(line for line in lines if line and not line.startswith("#"))
    return found


def allowed_calls(unit):
    """What all lines of SystemCallFilter= leave, as systemd reads them."""
    found = calls_of(["@default"])
    for value in (value for name, value in settings(unit) if name == "SystemCallFilter"):
        if value.startswith("~"):
            found -= calls_of(value[1:].split())
        else:
            found |= calls_of(value.split())
    return found


def restrict(calls):
    """In a child: only these system calls, the others get EPERM, and no capability after exec."""
    libc, library = ctypes.CDLL(None), ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    for number in range(CAP_CHOWN, CAP_LAST + 1):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    filters = ctypes.c_void_p(library.seccomp_init(errno_action(1)))
    for call in calls | {"execve"}:             # systemd's filter is there before it executes
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            assert library.seccomp_rule_add(filters, SCMP_ACT_ALLOW, number, 0) == 0, call
    assert library.seccomp_load(filters) == 0


class UnitTest(unittest.TestCase):
    def setUp(self):
        self.root = Path(harness.short_tmpdir())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "bin").mkdir()
        shutil.copy(harness.binary("broker"), self.root / "bin/baton-broker")
        text = (HERE / "baton.service.in").read_text(encoding="ascii")
        self.text = text.replace("@prefix@", str(self.root))
        self.unit = self.root / "baton.service"
        self.unit.write_text(self.text, encoding="ascii")
        self.socket_text = (HERE / "baton.socket").read_text(encoding="ascii")
        self.socket_unit = self.root / "baton.socket"
        self.socket_unit.write_text(self.socket_text, encoding="ascii")

    def exposure(self):
        status, text = analyze("security", "--offline=true", self.unit)
        self.assertEqual(status, 0, text)
        return float(re.search(r"exposure level for baton.service: ([\d.]+)", text)[1])

    def test_systemd_finds_it_hardly_exposed(self):
        figure = self.exposure()
        print(f"systemd-analyze security: {figure}, at most {MOST_EXPOSED}", flush=True)
        self.assertLessEqual(figure, MOST_EXPOSED)

    def test_systemd_would_find_one_that_is_exposed(self):
        self.unit.write_text(re.sub(r"^(Protect|Restrict|SystemCall|Capab).*\n", "", self.text,
                                    flags=re.M), encoding="ascii")
        self.assertGreater(self.exposure(), MOST_EXPOSED)

    def test_systemd_understands_every_line(self):
        self.assertEqual(analyze("verify", "--man=no", self.unit, self.socket_unit), (0, ""))
        self.unit.write_text(self.text + "\n[Service]\nProtectEverything=yes\n", encoding="ascii")
        self.assertIn("ProtectEverything", analyze("verify", "--man=no", self.unit)[1])

    def test_systemd_understands_every_line_of_the_socket(self):
        self.socket_unit.write_text(self.socket_text + "\n[Socket]\nListenToAll=yes\n",
                                    encoding="ascii")
        said = analyze("verify", "--man=no", self.socket_unit)[1]
        self.assertIn("ListenToAll", said)
        self.assertEqual(len(said.splitlines()), 1, said)

    def test_the_socket_is_what_the_service_has_without_it(self):
        unit, sock = dict(settings(self.text)), dict(settings(self.socket_text))
        self.assertEqual(unit["Environment"], f"BATON_ADDRESS={sock['ListenSequentialPacket']}"
                         f"?mode={sock['SocketMode']}")
        self.assertEqual(Path(sock["ListenSequentialPacket"]).parent,
                         Path("/run") / unit["RuntimeDirectory"])
        self.assertEqual(unit["RuntimeDirectoryPreserve"], "yes")   # its file stays there
        self.assertNotIn("--listen", unit["ExecStart"])             # it would want the name too
        for name in ("Wants", "After", "Also"):
            self.assertEqual(unit[name], "baton.socket")

    def test_systemd_would_make_its_user(self):
        rules = (HERE / "baton.sysusers").read_text(encoding="ascii")
        users = re.findall(r"^u (\w+) - ", rules, re.M)
        named = {value for name, value in settings(self.text) if name in ("User", "Group")}
        self.assertEqual(set(users), named)

    def command(self):
        """Its ExecStart, with the policy that is shipped in the place of /etc/baton's."""
        line = dict(settings(self.text))["ExecStart"]
        policy = shutil.copy(HERE / "policy.conf", self.root)
        os.chmod(policy, 0o644)
        return shlex.split(re.sub(r"(?<= --policy )\S+", str(policy), line))

    def address(self):
        """That of its Environment, with a place of our own for /run/baton."""
        value = dict(settings(self.text))["Environment"].partition("=")[2]
        return value.replace("/run/baton/", f"{self.root}/")

    def start(self, program, *words):
        """Under the unit's restrictions."""
        unit = dict(settings(self.text))
        calls, files = allowed_calls(self.text), int(unit["LimitNOFILE"])
        self.assertNotIn("mount", calls)

        def prepare():
            os.umask(int(unit["UMask"], 8))
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            restrict(calls)

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if limit != resource.RLIM_INFINITY:
            files = min(files, limit)
        # To look for leaks a sanitizer traces itself, and is not let.
        broker = harness.popen(program, *words, preexec_fn=prepare, env=harness.clean_env(
            ASAN_OPTIONS="detect_leaks=0", BATON_ADDRESS=self.address()))
        self.addCleanup(broker.end)
        return broker

    def serves(self, broker):
        """A subscriber hears a publisher; then it ends in order. Returns what it has said."""
        env = harness.clean_env(BATON_ADDRESS=f"{self.root}/baton.sock")
        subscriber = harness.popen("sub", "-v", "-n", "1", "a.>", env=env)
        self.addCleanup(subscriber.end)
        subscriber.wait_line("ready", "err")
        self.is_without_privileges(broker)
        self.assertEqual(harness.run("pub", "a.b", "hello", env=env).status, 0)
        self.assertEqual(subscriber.result().out, b"a.b hello\n")
        broker.signal(15)
        result = broker.result()
        self.assertEqual(result.status, 0, result)
        self.assertRegex(result.err, rb"\nbroker: (not confined: built|confined by seccomp and L)")
        return result.err.decode()

    def test_a_broker_starts_and_serves_under_its_restrictions(self):
        broker = self.start(*self.command())
        broker.wait_line("ready", "err")
        self.assertIn(f"listening on {self.root}/baton.sock\n", self.serves(broker))

    def test_it_serves_what_systemd_has_made_and_passes_on(self):
        """By a program of systemd's that becomes the broker when the first client comes."""
        path = f"{self.root}/baton.sock"
        broker = self.start("/usr/bin/systemd-socket-activate", "--seqpacket", "-l", path,
                            "-E", "ASAN_OPTIONS", *self.command())
        broker.wait_line(re.compile(f"Listening on {re.escape(path)} as 3."), "err")
        self.assertIn(f"listening on {path} (passed on)\n", self.serves(broker))

    def is_without_privileges(self, broker):
        with open(f"/proc/{broker.pid}/status", encoding="ascii") as file:
            status = file.read()
        self.assertRegex(status, r"\nCapEff:\s+0+\n")
        self.assertRegex(status, r"\nSeccomp:\s+2\n")


if __name__ == "__main__":
    harness.main()
