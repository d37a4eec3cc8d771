"""What publications cost of the window, and how large payloads travel: the page's parts 6 and 7."""

import fcntl
import mmap
import os

from wire_codec import FRAME_BYTES, Frame, WireError, decode_frames

FD_COST = 4096
PLACED_DIVISOR = 1024
EXTRA_DIVISOR = 4
CHUNK_BYTES = FRAME_BYTES - 8   # leaves room for the head of a CHUNK
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Window:
    """The account of the publication bytes that a client may have under way."""

    def __init__(self):
        self.size = self.left = 0
        self._in_chunks = 0             # bytes of the payload that is under way

    def open(self, size):
        """WELCOME says how large it is."""
        self.size = self.left = size

    def cost(self, frame, length):
        """What this frame costs, which is sent next and takes `length` bytes."""
        if isinstance(frame, bytes):
            (frame,) = decode_frames(frame)
        kind, n_fds, payload_bytes = frame[0], 0, 0
        if kind not in (Frame.PUB, Frame.BEGIN, Frame.CHUNK, Frame.END):
            return 0
        if kind in (Frame.PUB, Frame.BEGIN):
            n_fds = frame[1]
        if kind == Frame.PUB and isinstance(frame[4], int):
            payload_bytes = frame[4]
        elif kind == Frame.CHUNK:
            self._in_chunks += len(frame[1])
        elif kind == Frame.END:
            payload_bytes, self._in_chunks = self._in_chunks, 0
        more = n_fds * FD_COST + payload_bytes // PLACED_DIVISOR
        return length + min(more, self.size // EXTRA_DIVISOR)


def sealed_memfd(data, seals=SEALS):
    """Return a new memfd that holds `data`, with these seals."""
    fd = os.memfd_create("baton", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def read_placed(fd, size):
    """Verify a placed payload and return its bytes."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS or os.fstat(fd).st_size != size:
        raise WireError("placed payload is not sealed or not of its size")
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapping:
        return bytes(mapping)


def chunks_of(payload):
    """The CHUNK frames of a payload, each as large as may be."""
    view = memoryview(payload)
    for start in range(0, len(view), CHUNK_BYTES):
        yield [Frame.CHUNK, view[start:start + CHUNK_BYTES]]
