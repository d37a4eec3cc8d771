"""The manual pages are well-formed, and say all that the headers and --help say."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import harness

HEADERS = ("baton.h", "baton_connection.h", "baton_message.h")
PAGES = ("baton.1", "baton.3", "baton-broker.8")
TOOLS = ("pub", "sub", "request", "serve", "status", "demo")
PROTOTYPE = re.compile(r"^BATON_API\s+(?:BATON_MUST\s+)?([^;]*?)(\w+)\(([^;]*)\);", re.MULTILINE)
OPTION = re.compile(r"^  (?:-(\w), |    )--([a-z-]+)", re.MULTILINE)


def root():
    """The sources as this test sees them."""
    tree = Path(os.environ.get("TEST_SRCDIR", "/nonexistent"),
                os.environ.get("TEST_WORKSPACE", "baton"))
    return tree if tree.is_dir() else Path(__file__).absolute().parents[2]


def page(name):
    """The source of a page."""
    return (root() / "docs/man" / name).read_text()


def section(text, name):
    """A section of a page, and within it a subsection if `name` is "Section/Subsection"."""
    for macro, title in zip((".Sh", ".Ss"), name.split("/")):
        end = r"^\.Sh |\Z" if macro == ".Sh" else r"^\.S[hs] |\Z"
        found = re.search(rf"^\{macro} {re.escape(title)}\n(.*?)(?={end})", text,
                          re.MULTILINE | re.DOTALL)
        text = found[1] if found else ""
    return text


def squeeze(text):
    """C without comments, and one space wherever there is some."""
    text = " ".join(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split())
    return text.replace("* ", "*").replace(" *", "*")


def prototypes():
    """Those of the headers: {name: (type, [argument])}."""
    found = {}
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (root() / "client" / header).read_text(), flags=re.DOTALL)
        for kind, name, arguments in PROTOTYPE.findall(text):
            found[name] = (squeeze(kind), [squeeze(each) for each in arguments.split(",")])
    return found


def synopsis():
    """Those of baton.3, in the same form."""
    found, kind, name = {}, "", ""
    for line in section(page("baton.3"), "SYNOPSIS").splitlines():
        macro, _, rest = line.partition(" ")
        quoted = [squeeze(each) for each in re.findall(r'"([^"]*)"', rest)]
        if macro == ".Ft":
            kind = squeeze(rest)
        elif macro in (".Fn", ".Fo"):
            name = rest.split()[0]
            found[name] = (kind, quoted)
        elif macro == ".Fa":
            found[name][1].extend(quoted)
    return found


def help_of(*command):
    """What --help prints."""
    result = harness.run(*command, "--help")
    assert result.status == 0, result
    return result.out.decode()


def options_of(text):
    """The options of a --help: "--long", "-s"."""
    return {lead + name for short, long in OPTION.findall(text)
            for lead, name in (("-", short), ("--", long)) if name}


def options_said(text):
    """Those that have an item in a piece of a page."""
    words = " ".join(re.findall(r"^\.It (Fl .*)$", text, re.MULTILINE)).replace("Fl ", "-")
    return set(re.findall(r"(?<!\S)--?[A-Za-z][a-z-]*", words))


class FormTest(unittest.TestCase):

    def lint(self, path):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path],
                              capture_output=True, check=False)
        return done.returncode, done.stdout.decode()

    def test_mandoc_has_nothing_to_warn_of(self):
        self.assertTrue(shutil.which("mandoc"), "mandoc is not installed: run ./setup.sh")
        for name in PAGES:
            self.assertEqual(self.lint(root() / "docs/man" / name), (0, ""))

    def test_mandoc_would_warn(self):
        bad = Path(os.environ.get("TEST_TMPDIR", "/tmp"), f"bad-{os.getpid()}.1")
        bad.write_text(page("baton.1").replace(".Sh SYNOPSIS", ".Sh SYNOPSIS\n.Nosuch macro"))
        status, text = self.lint(bad)
        bad.unlink()
        self.assertNotEqual(status, 0)
        self.assertIn("unknown macro", text)


class LibraryTest(unittest.TestCase):

    def test_every_function_is_there_with_its_arguments(self):
        self.assertGreater(len(prototypes()), 50)
        self.assertEqual(synopsis(), prototypes())

    def test_every_function_is_spoken_of(self):
        text = section(page("baton.3"), "DESCRIPTION")
        missing = [name for name in prototypes() if not re.search(rf"^\.Fn {name}\b", text, re.M)]
        self.assertEqual(missing, [])

    def test_every_error_of_baton_h_is_there(self):
        table = (root() / "client/baton.h").read_text().split("Blocking.")[0]
        errors = set(re.findall(r"^ \*      -(E[A-Z]+) ", table, re.MULTILINE))
        self.assertGreater(len(errors), 15)
        said = set(re.findall(r"^\.It Bq Er (E[A-Z]+)$", page("baton.3"), re.MULTILINE))
        self.assertEqual(errors - said, set())


class ToolsTest(unittest.TestCase):

    def said_of(self, tool):
        text = page("baton.1")
        titles = ["All tools", tool]
        if tool not in ("status", "demo"):
            titles.append("pub, sub, request and serve")
        return set().union(*(options_said(section(text, f"DESCRIPTION/{title}"))
                             for title in titles))

    def test_every_option_of_every_tool_is_there_and_no_other(self):
        for tool in TOOLS:
            with self.subTest(tool=tool):
                options = options_of(help_of("baton", tool))
                self.assertGreater(len(options), 6)
                self.assertEqual(self.said_of(tool), options)

    def test_every_tool_is_there(self):
        names = re.findall(r"^  (\w+) ", help_of("baton"), re.MULTILINE)
        self.assertEqual(tuple(names), TOOLS)

    def test_every_option_of_the_broker_is_there_and_no_other(self):
        text = help_of("broker")
        self.assertEqual(options_said(section(page("baton-broker.8"), "DESCRIPTION")),
                         options_of(text))

    def test_every_variable_of_the_broker_is_there(self):
        said = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", " ".join(
            re.findall(r"^\.It Ev (.*)$", section(page("baton-broker.8"), "ENVIRONMENT"), re.M))))
        self.assertEqual(said, {"BATON_ADDRESS", "LISTEN_FDS", "LISTEN_PID", "XDG_RUNTIME_DIR"})

    def test_every_limit_is_there_and_no_other(self):
        limits = re.search(r"milliseconds or pieces\):\n(.*?)\n  -", help_of("broker"), re.DOTALL)
        lines = re.findall(r"^\.It Cm (.*)$", section(page("baton-broker.8"), "LIMITS"), re.M)
        self.assertEqual(set(" ".join(lines).replace(",", "").split()), set(limits[1].split()))


if __name__ == "__main__":
    harness.main()
