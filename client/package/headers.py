"""What the public headers declare, read as text: functions, structs with their fields, constants.

It knows the C of these three headers and no more, and raises on what it does not understand.
"""

import re
from collections import namedtuple

NAMES = ("baton_message.h", "baton_connection.h", "baton.h")

Api = namedtuple("Api", "functions callbacks structs constants version")

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|<<|[^\s\w]")
_FUNCTION = re.compile(r"\bBATON_API\b[^;()]*?\b(\w+)\s*\([^;]*\)\s*;")
_PROTOTYPE = re.compile(r"\b(baton_\w+)\s*\([^;{}]*\)\s*;")
_CALLBACK = re.compile(r"\btypedef\s+[^;()]*\(\*(\w+)\)\s*\(")
_STRUCT = re.compile(r"^(?:typedef\s+)?(?:struct|union)\s+(\w*)\s*\{", re.M)
_ENUM = re.compile(r"\benum\s*\w*\s*\{([^}]*)\}")
_VERSION = re.compile(r'^#define\s+BATON_VERSION\s+"(\d+\.\d+\.\d+)"$', re.M)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def without_directives(text):
    return re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)


def _fields(tokens):
    """The fields of a struct from behind its `{` on; what is inside of others as `outer.inner`."""
    fields, declaration, inside = [], [], None
    while (token := next(tokens)) != "}":
        if token == "{":
            inside = _fields(tokens)
        elif token == ";":
            names = _declared(declaration)
            if inside is None:
                fields += names
            else:
                outer = names[0] + "." if names else ""     # none: an anonymous union
                fields += [outer + name for name in inside]
            declaration, inside = [], None
        else:
            declaration.append(token)
    return fields


def _declared(tokens):
    """The names that `const char *a, *b[4]` declares: the last word before each comma."""
    text = re.sub(r"\[[^]]*\]", "", " ".join(tokens))
    if re.search(r"[(:]", text):
        raise ValueError(f"a field that this cannot read: {text}")
    if text in ("struct", "union"):
        return []
    names = [re.search(r"(\w+) *$", part) for part in text.split(",")]
    if not all(names):
        raise ValueError(f"a field without a name: {text}")
    return [found[1] for found in names]


def _structs(text):
    for found in _STRUCT.finditer(text):
        if not found[1]:
            raise ValueError("a public struct without a name")
        yield found[1], _fields(iter(_TOKEN.findall(text[found.end():])))


def _constants(text):
    for found in _ENUM.finditer(text):
        for part in found[1].split(","):
            if part.strip():
                yield part.split("=")[0].strip()


def _functions(text):
    functions = _FUNCTION.findall(text)
    unmarked = set(_PROTOTYPE.findall(text)) - set(functions)
    if unmarked:
        raise ValueError(f"declared without BATON_API: {sorted(unmarked)}")
    return functions


def read(texts):
    """The Api that the texts of all headers declare together."""
    text = without_comments("\n".join(texts))
    versions = _VERSION.findall(text)
    if len(versions) != 1:
        raise ValueError(f"BATON_VERSION should be said once: {versions}")
    text = without_directives(text)
    return Api(functions=_functions(text), callbacks=_CALLBACK.findall(text),
               structs=dict(_structs(text)), constants=list(_constants(text)),
               version=versions[0])
