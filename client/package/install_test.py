"""What is installed works for somebody who has nothing else: no Bazel, no source tree."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

import elf

HERE = Path("client/package")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
LANGUAGES = {"c": ["cc", "-std=c11"], "c++": ["c++", "-std=c++11", "-x", "c++"]}


def run(*command, **options):
    """What it says, if it succeeds."""
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}")
    return done.stdout


def install(*arguments):
    return run(HERE / "install", *arguments)


class TestCase(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR")))
        self.addCleanup(shutil.rmtree, self.root)

    def installed(self):
        prefix = self.root / "prefix"
        install(prefix)
        return prefix


class Files(TestCase):
    def test_everything_is_in_its_place(self):
        prefix = self.installed()
        header = (prefix / "include/baton_message.h").read_text()
        version = re.search(r'BATON_VERSION "(.*)"', header)[1]
        soname = "libbaton.so." + version.split(".")[0]
        found = {str(path.relative_to(prefix)): stat.S_IMODE(path.lstat().st_mode)
                 for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()}
        pages = {path: mode for path, mode in found.items() if path.startswith("share/man/")}
        self.assertEqual(set(pages.values()) - {0o644}, set())
        self.assertEqual({path: mode for path, mode in found.items() if path not in pages}, {
            "bin/baton": 0o755, "bin/baton-broker": 0o755, "include/baton.h": 0o644,
            "include/baton_connection.h": 0o644, "include/baton_message.h": 0o644,
            f"lib/libbaton.so.{version}": 0o755, "lib/libbaton.a": 0o644,
            "lib/pkgconfig/baton.pc": 0o644, "lib/systemd/system/baton.service": 0o644,
            "lib/systemd/system/baton.socket": 0o644,
            "lib/sysusers.d/baton.conf": 0o644, "share/doc/baton/policy.conf": 0o644})
        links = {str(path.relative_to(prefix)): os.readlink(path)
                 for path in prefix.rglob("*") if path.is_symlink()}
        self.assertEqual(links, {f"lib/{soname}": f"libbaton.so.{version}",
                                 "lib/libbaton.so": soname})

    def test_the_programs_are_of_the_same_version(self):
        prefix = self.installed()
        version = run("pkg-config", "--modversion", prefix / "lib/pkgconfig/baton.pc").strip()
        for program in ("baton", "baton-broker"):
            self.assertEqual(run(prefix / "bin" / program, "--version").split()[-1], version)

    def test_a_package_is_made_in_another_directory(self):
        install("/usr/local", "--destdir", self.root / "stage")
        text = (self.root / "stage/usr/local/lib/pkgconfig/baton.pc").read_text()
        self.assertTrue(text.startswith("prefix=/usr/local\n"), text)
        self.assertNotIn("@", text)
        self.assertNotIn(str(self.root), text)

    def test_the_unit_starts_the_broker_of_the_prefix(self):
        text = (self.installed() / "lib/systemd/system/baton.service").read_text()
        program = re.search(r"^ExecStart=(\S+) ", text, re.M)[1]
        self.assertEqual(program, f"{self.root}/prefix/bin/baton-broker")
        self.assertTrue(os.access(program, os.X_OK))
        self.assertNotIn("@prefix@", text)

    def test_a_prefix_may_be_named_from_where_one_is(self):
        run((HERE / "install").absolute(), "here", env={**os.environ, "RUNFILES_DIR": str(
            Path.cwd().parent), "BUILD_WORKING_DIRECTORY": str(self.root)})
        text = (self.root / "here/lib/pkgconfig/baton.pc").read_text()
        self.assertTrue(text.startswith(f"prefix={self.root}/here\n"), text)

    def test_what_runs_keeps_what_it_began_with(self):
        prefix = self.installed()
        names = ["bin/baton", "lib/libbaton.a", "include/baton.h"]
        for name in names:
            os.link(prefix / name, self.root / Path(name).name)
        install(prefix)
        for name in names:
            old, new = self.root / Path(name).name, prefix / name
            self.assertFalse(old.samefile(new), name)
            self.assertEqual(old.read_bytes(), new.read_bytes())
        self.assertEqual([str(path) for path in prefix.rglob("*.new.*")], [])

    def test_what_it_cannot_do_it_says(self):
        for arguments in ([], ["/usr", "/opt"], ["--prefix"], [self.root / "with space"]):
            done = subprocess.run([HERE / "install", *arguments], stderr=subprocess.PIPE, text=True,
                                  check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, r"^(usage|install): ")
        self.assertEqual(list(self.root.iterdir()), [])


class Newcomer(TestCase):
    def setUp(self):
        super().setUp()
        self.prefix = self.installed()
        self.source = self.root / "newcomer.c"
        shutil.copy(HERE / "newcomer.c", self.source)
        # A library built with sanitizers needs programs that are.
        archive = str(self.prefix / "lib/libbaton.a")
        needs = {symbol.name for symbol in elf.symbols(archive) if symbol.section == "UND"}
        self.tools = ["-fsanitize=" + tool for prefix, tool in (
            ("__asan", "address"), ("__ubsan", "undefined"), ("__tsan", "thread"))
            if any(name.startswith(prefix) for name in needs)]

    def flags(self, *options):
        """What pkg-config says; what it says of others is found where the system has it."""
        env = {**os.environ, "PKG_CONFIG_PATH": f"{self.prefix}/lib/pkgconfig"}
        return run("pkg-config", *options, "baton", env=env).split()

    def build(self, language, *flags):
        program = self.root / "program"
        run(*LANGUAGES[language], *WARNINGS, *self.tools, self.source, "-x", "none", *flags, "-o",
            program, cwd=self.root)
        return program

    def check(self, program, **env):
        """Runs it; returns the libraries that it asks for."""
        said = run(program, env={**os.environ, **env})
        self.assertIn("/nonexistent/baton.sock", said)
        return elf.dynamic(str(program)).get("NEEDED", [])

    def test_the_shared_library(self):
        for language in LANGUAGES:
            with self.subTest(language):
                program = self.build(language, *self.flags("--cflags", "--libs"))
                needed = self.check(program, LD_LIBRARY_PATH=f"{self.prefix}/lib")
                self.assertIn("libbaton.so.", " ".join(needed))
                self.assertNotIn("libmsgpackc", " ".join(needed))

    def test_the_shared_library_found_by_the_program_itself(self):
        program = self.build("c", *self.flags("--cflags", "--libs"),
                             f"-Wl,-rpath,{self.prefix}/lib")
        self.check(program)

    def test_the_archive(self):
        for language in LANGUAGES:
            with self.subTest(language):
                program = self.build(
                    language, *self.flags("--cflags"), self.prefix / "lib/libbaton.a",
                    *[flag for flag in self.flags("--static", "--libs") if flag != "-lbaton"])
                self.assertNotIn("libbaton", " ".join(self.check(program)))

    def test_a_program_that_needs_no_library_at_all(self):
        if self.tools:
            return      # there are no sanitizers without
        program = self.build("c", "-static", *self.flags("--static", "--cflags", "--libs"))
        self.assertEqual(self.check(program), [])


if __name__ == "__main__":
    unittest.main()
