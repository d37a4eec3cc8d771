"""The frames of the Baton wire protocol, version 1: msgpack, frame types, and what a broker says.

Written from PROTOCOL.md alone; shares no code with the C sources, so that tests can hold the
broker against the page itself. Decoding is bounded, and raises WireError where the page is broken.
"""

import struct
from collections import namedtuple
from enum import IntEnum, IntFlag

VERSION = 1
PACKET_BYTES = 65536
FRAME_BYTES = 65024
MAX_DEPTH = 16
MAX_SUBS = 64                   # subscription numbers of one DELIVERY

FEATURE_MEMFD = 1
CREDIT_PUBLISH, CREDIT_SUB, CREDIT_FDS = 0, 1, 2


class Frame(IntEnum):
    """Frame types."""
    HELLO, WELCOME, BYE, RIGHTS, PING, PONG, OK, ERR = range(0x01, 0x09)
    SUB, UNSUB, CREDIT, ACK, NACK, GAP, CANCEL = range(0x09, 0x10)
    PUB, BEGIN, CHUNK, END, INGRESS, REQUEST, REPLY, DELIVERY = range(0x10, 0x18)


class Code(IntEnum):
    """Codes of ERR and BYE."""
    (NONE, PROTOCOL, VERSION, REFUSED, LIMIT, BAD_TOPIC, BAD_HEADERS, NO_RESPONDERS,
     RESPONDER_GONE, TIMEOUT, BAD_TOKEN, NO_SUCH_SUB, DUPLICATE, NO_MEMORY, STALLED, SHUTDOWN,
     UNSUPPORTED, WINDOW, DESCRIPTORS, PAYLOAD, CANCELLED) = range(21)


class Ingress(IntFlag):
    """Flags of INGRESS."""
    CONFIRM, RETAIN, NO_ECHO, WILL = 1, 2, 4, 8


class Flag(IntFlag):
    """Flags of DELIVERY; MORE and FAILED also of REPLY."""
    RETAINED, REQUEST, REPLY, MORE, FAILED = 1, 2, 4, 8, 16


class WireError(Exception):
    """The peer broke the protocol."""


# --- msgpack ----------------------------------------------------------------------------------

Ext = namedtuple("Ext", "code data")

_INTEGERS = ((0xcc, "B"), (0xcd, "H"), (0xce, "I"), (0xcf, "Q"),
             (0xd0, "b"), (0xd1, "h"), (0xd2, "i"), (0xd3, "q"))
_NUMBERS = {**dict(_INTEGERS), 0xca: "f", 0xcb: "d"}
_CONSTANTS = {0xc0: None, 0xc2: False, 0xc3: True}
_SIZED = {0xc4: ("B", "bin"), 0xc5: ("H", "bin"), 0xc6: ("I", "bin"),
          0xc7: ("B", "ext"), 0xc8: ("H", "ext"), 0xc9: ("I", "ext"),
          0xd9: ("B", "str"), 0xda: ("H", "str"), 0xdb: ("I", "str"),
          0xdc: ("H", "array"), 0xdd: ("I", "array"), 0xde: ("H", "map"), 0xdf: ("I", "map")}


def _encode_int(value):
    if -32 <= value < 128:
        return struct.pack("b", value)
    for code, width in _INTEGERS if value >= 0 else _INTEGERS[4:]:
        try:
            return struct.pack(">B" + width, code, value)
        except struct.error:
            continue
    raise OverflowError(f"{value} does not fit 64 bits")


def _encode_head(count, fix, fix_limit, codes):
    """The head of a string, array or map; `codes` are those of 8, 16 and 32 bit counts."""
    if count < fix_limit:
        return bytes([fix | count])
    for code, width, bits in zip(codes, "BHI", (8, 16, 32)):
        if code and count < 1 << bits:
            return struct.pack(">B" + width, code, count)
    raise OverflowError("too long for msgpack")


def encode(value):
    """Encode `value` in its shortest form. Lone surrogates (U+DC80…DCFF) become raw bytes."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _encode_int(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xcb, value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        return _encode_head(len(data), 0xa0, 32, (0xd9, 0xda, 0xdb)) + data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _encode_head(len(value), 0, 0, (0xc4, 0xc5, 0xc6)) + bytes(value)
    if isinstance(value, (list, tuple)):
        return _encode_head(len(value), 0x90, 16, (0, 0xdc, 0xdd)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        body = b"".join(encode(key) + encode(item) for key, item in value.items())
        return _encode_head(len(value), 0x80, 16, (0, 0xde, 0xdf)) + body
    raise TypeError(f"msgpack has no {type(value).__name__}")


class _Reader:
    """A bounded msgpack decoder over one packet."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, count):
        end = self.position + count
        if end > len(self.data):
            raise WireError(f"value at byte {self.position} runs past the end")
        piece, self.position = self.data[self.position:end], end
        return piece

    def number(self, width):
        return struct.unpack(">" + width, self.take(struct.calcsize(">" + width)))[0]

    def items(self, count, depth):
        if depth > MAX_DEPTH:
            raise WireError("nested too deep")
        if count > len(self.data) - self.position:
            raise WireError("count exceeds the bytes that follow")
        return [self.value(depth) for _ in range(count)]

    def map(self, count, depth):
        """A dict, or a tuple of pairs where keys are equal or cannot be keys of a dict."""
        flat = self.items(2 * count, depth)
        pairs = tuple(zip(flat[::2], flat[1::2]))
        try:
            return dict(pairs) if len(dict(pairs)) == count else pairs
        except TypeError:
            return pairs

    def sized(self, kind, count, depth):
        if kind == "array":
            return self.items(count, depth + 1)
        if kind == "map":
            return self.map(count, depth + 1)
        if kind == "ext":
            return Ext(self.number("b"), self.take(count))
        data = self.take(count)
        return data if kind == "bin" else data.decode("utf-8", "surrogateescape")

    def value(self, depth=0):
        code = self.number("B")
        if code < 0x80 or code >= 0xe0:
            return code if code < 0x80 else code - 0x100
        if code < 0xa0:
            return self.sized("map" if code < 0x90 else "array", code & 0x0f, depth)
        if code < 0xc0:
            return self.sized("str", code & 0x1f, depth)
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            return self.number(_NUMBERS[code])
        if 0xd4 <= code <= 0xd8:
            return self.sized("ext", 1 << (code - 0xd4), depth)
        if code not in _SIZED:
            raise WireError(f"0x{code:02x} is not msgpack")
        width, kind = _SIZED[code]
        return self.sized(kind, self.number(width), depth)


def decode_frames(packet):
    """Return the frames of a packet as lists; the first element of each is its type."""
    if not 0 < len(packet) <= PACKET_BYTES:
        raise WireError(f"a packet of {len(packet)} bytes")
    reader, frames = _Reader(bytes(packet)), []
    while reader.position < len(packet):
        start = reader.position
        frame = reader.value()
        if not isinstance(frame, list) or not frame or not _is_uint(frame[0]):
            raise WireError(f"no frame at byte {start}")
        if reader.position - start > FRAME_BYTES:
            raise WireError("frame too long")
        frames.append(frame)
    return frames


# --- Events: the frames that a broker sends ---------------------------------------------------

def _is_uint(value):
    return type(value) is int and value >= 0


def _is_text(value):
    return isinstance(value, str) and not any(0xd800 <= ord(char) < 0xe000 for char in value)


_CHECKS = {
    "uint": _is_uint,
    "str": _is_text,
    "bin": lambda value: isinstance(value, bytes),
    "map": lambda value: isinstance(value, dict),
    "uints": lambda value: isinstance(value, list) and all(map(_is_uint, value)),
    "payload": lambda value: isinstance(value, bytes) or _is_uint(value),
}
_TYPES = {}     # frame type -> (event class, checks of its fields)


def _event(frame_type, fields, defaults=()):
    """Make the event class of a frame type from its fields, written "name:check …"."""
    names, checks = zip(*(field.split(":") for field in fields.split()))
    event = namedtuple(frame_type.name.capitalize(), names, defaults=defaults)
    _TYPES[frame_type] = (event, [_CHECKS[check] for check in checks])
    return event


Welcome = _event(Frame.WELCOME, "version:uint session:uint instance:bin name:str features:uint "
                 "rights:uint window:uint limits:map info:map", ({},))
Bye = _event(Frame.BYE, "code:uint text:str")
Rights = _event(Frame.RIGHTS, "rights:uint")
Ping = _event(Frame.PING, "token:uint")
Pong = _event(Frame.PONG, "token:uint")
Ok = _event(Frame.OK, "id:uint value:uint n:uint", (1,))
Err = _event(Frame.ERR, "id:uint code:uint text:str limit:str", ("",))
Credit = _event(Frame.CREDIT, "what:uint id:uint amount:uint")
Gap = _event(Frame.GAP, "sub:uint count:uint reason:uint seq:uint")
Header = _event(Frame.DELIVERY, "seq:uint session:uint pid:uint uid:uint gid:uint subs:uints "
                "flags:uint redelivered:uint withheld:uint token:uint age_ms:uint request:uint",
                (0,) * 6)
Pub = _event(Frame.PUB, "n_fds:uint topic:str headers:map payload:payload")
Begin = _event(Frame.BEGIN, "n_fds:uint topic:str headers:map size:uint")
Chunk = _event(Frame.CHUNK, "data:bin")
End = _event(Frame.END, "status:uint")

# A publication with the DELIVERY in force for it. `form` is "plain", "placed" or "chunked";
# `payload` is None if the sender gave up. The receiver closes `fds`.
Delivery = namedtuple("Delivery", Header._fields + ("topic", "headers", "payload", "fds", "form"))


def parse_frame(frame):
    """Return the event of a frame from the broker, or None if its type may be ignored."""
    if 0x40 <= frame[0] < 0x80:
        return None
    if frame[0] not in _TYPES:
        raise WireError(f"frame type 0x{frame[0]:02x} from a broker")
    event, checks = _TYPES[frame[0]]
    fields = frame[1:1 + len(checks)]
    if len(fields) < len(checks) - len(event._field_defaults):
        raise WireError(f"{event.__name__} is too short")
    if not all(check(field) for check, field in zip(checks, fields)):
        raise WireError(f"{event.__name__} has a field of a wrong type: {fields}")
    return event(*fields)
