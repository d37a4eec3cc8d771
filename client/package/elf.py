"""What readelf and nm say of a library, as Python."""

import os
import re
import subprocess
from collections import namedtuple

Section = namedtuple("Section", "number name size flags")
Symbol = namedtuple("Symbol", "name size kind binding section")

# What sanitizers and coverage put into every object by themselves.
_TOOLS = re.compile(r"__(asan|ubsan|tsan|sanitizer|gcov|llvm|sancov)")

_SECTION = re.compile(r" *\[ *(\d+)\] (\S+) +\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +"
                      r"([A-Za-z]*) +\d+ +\d+ +\d+$")


def _lines(*command):
    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE,
                          check=True, text=True)
    return done.stdout.splitlines()


def sections(path):
    """The sections of an object, or of an archive that holds one."""
    found = [_SECTION.match(line) for line in _lines("readelf", "-SW", path)]
    return [Section(int(m[1]), m[2], int(m[3], 16), m[4]) for m in found if m]


def symbols(path):
    """The symbols of an object, or of an archive that holds one."""
    found = [line.split() for line in _lines("readelf", "-sW", path)]
    return [Symbol(words[7], int(words[2], 0), words[3], words[4], words[6])
            for words in found if len(words) >= 8 and re.fullmatch(r"\d+:", words[0])]


def is_instrumented(path):
    return any(_TOOLS.match(symbol.name) for symbol in symbols(path) if symbol.section == "UND")


def exported(path):
    """name@@VERSION of everything that a shared library offers."""
    words = [line.split() for line in _lines("nm", "-D", "--defined-only", path)]
    return sorted(word[2] for word in words if word[1] != "A")      # A: the versions themselves


def defined(path):
    """What an archive offers to who links with it."""
    words = [line.split() for line in _lines("nm", "--defined-only", "--extern-only", path)]
    return sorted(word[2] for word in words if len(word) == 3)


def dynamic(path):
    """The dynamic section: {"NEEDED": ["libc.so.6"], "FLAGS": ["BIND_NOW"], ...}."""
    entries = {}
    for line in _lines("readelf", "-dW", path):
        found = re.match(r" 0x[0-9a-f]+ \((\w+)\) +(.*)$", line)
        if found:
            value = re.sub(r"^(Shared library|Library soname|Flags): ?|[\[\]]", "", found[2])
            entries.setdefault(found[1], []).append(value)
    return entries


def has_segment(path, name):
    return any(line.split()[:1] == [name] for line in _lines("readelf", "-lW", path))
