"""Packets and their descriptors over AF_UNIX sockets, as the page's parts 1 and 10 say.

A packet is one record of a SEQPACKET socket, one datagram, or, on a STREAM, its length and then its
bytes. Streams are read no further than one packet at a time, so a packet's descriptors come with
its own bytes, and nothing has to be kept between calls.
"""

import array
import os
import socket
import struct

from wire_codec import PACKET_BYTES, WireError

MAX_FDS = 16 + 1                # the descriptors of a publication and one placed payload
STREAM_HEAD = struct.Struct(">BI")
STREAM_FIRST = 0xce             # msgpack's uint 32
CREDENTIALS = struct.Struct("iII")
KINDS = {"seqpacket": socket.SOCK_SEQPACKET, "stream": socket.SOCK_STREAM,
         "dgram": socket.SOCK_DGRAM}


class DescriptorsLost(WireError):
    """A packet came without its descriptors, for which there was no room here; `data` is whole."""

    def __init__(self, data):
        super().__init__("descriptors lost")
        self.data = data


def split_address(address):
    """'stream:/path' is (SOCK_STREAM, '/path'); without a prefix it is SOCK_SEQPACKET."""
    prefix, _, rest = address.partition(":")
    return (KINDS[prefix], rest) if prefix in KINDS else (socket.SOCK_SEQPACKET, address)


def socket_name(address):
    """What bind and connect call '@name' (abstract) or a path, whatever its prefix."""
    name = split_address(address)[1]
    return b"\0" + os.fsencode(name[1:]) if name.startswith("@") else os.fsencode(name)


def new_socket(address):
    """An unconnected socket of the kind that an address has."""
    return socket.socket(socket.AF_UNIX, split_address(address)[0] | socket.SOCK_CLOEXEC)


def connect_to(address, timeout=None):
    """Connect to '@name' (abstract), '/path', 'stream:/path' or 'dgram:/path'."""
    sock = new_socket(address)
    try:
        sock.settimeout(timeout)
        sock.connect(socket_name(address))
    except BaseException:
        sock.close()
        raise
    return sock


def peer_credentials(sock):
    """The (pid, uid, gid) of the process at the other end."""
    return CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))


# --- Sending ------------------------------------------------------------------------------------

def send_packet(sock, data, fds=(), with_credentials=False):
    """Send one packet. Return False if the other end has cut the connection.

    with_credentials    also say who we are, for a broker that cannot ask SO_PEERCRED.
    """
    control = []
    if fds:
        control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds)))
    if with_credentials:
        control.append((socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
                        CREDENTIALS.pack(os.getpid(), os.getuid(), os.getgid())))
    try:
        if sock.type == socket.SOCK_STREAM:
            whole = STREAM_HEAD.pack(STREAM_FIRST, len(data)) + data
            sent = sock.sendmsg([whole], control)
            sock.sendall(whole[sent:])      # without them
        else:
            sock.sendmsg([data], control)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


# --- Receiving ----------------------------------------------------------------------------------

class _Piece:
    """What recvmsg calls gave so far: bytes and descriptors."""

    def __init__(self, sock):
        self.sock, self.data, self.fds = sock, b"", []
        self.is_cut = self.is_too_long = False

    def recv(self, count):
        """Receive up to `count` bytes; return how many."""
        while True:
            try:
                data, control, flags, _ = self.sock.recvmsg(
                    count, socket.CMSG_SPACE(4 * MAX_FDS), socket.MSG_CMSG_CLOEXEC)
                break
            except ConnectionResetError:
                continue        # what was queued before the reset is still to come
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(value[:len(value) - len(value) % numbers.itemsize])
                self.fds.extend(numbers)
        self.is_cut |= bool(flags & socket.MSG_CTRUNC)
        self.is_too_long |= bool(flags & socket.MSG_TRUNC)
        self.data += data
        return len(data)

    def recv_all(self, count):
        """Receive exactly `count` bytes more; return False at the end of the stream."""
        end = len(self.data) + count
        while len(self.data) < end:
            if not self.recv(end - len(self.data)):
                return False
        return True


def _recv_from_stream(piece):
    """One packet of a stream, without its length; an end within it discards it."""
    if not piece.recv_all(STREAM_HEAD.size):
        return b""
    first, length = STREAM_HEAD.unpack(piece.data)
    if first != STREAM_FIRST or not 0 < length <= PACKET_BYTES:
        raise WireError(f"no packet begins with {piece.data.hex()}")
    return piece.data[STREAM_HEAD.size:] if piece.recv_all(length) else b""


def recv_packet(sock):
    """Receive one packet and its descriptors; (b"", []) is the end.

    Raises DescriptorsLost if the kernel found no room for the descriptors.
    """
    piece = _Piece(sock)
    try:
        if sock.type == socket.SOCK_STREAM:
            data = _recv_from_stream(piece)
        else:
            piece.recv(PACKET_BYTES)
            data = piece.data
        if piece.is_too_long:
            raise WireError("packet too long")
        if piece.is_cut:
            raise DescriptorsLost(data)
    except BaseException:
        close_fds(piece.fds)
        raise
    if not data:
        close_fds(piece.fds)
    return data, piece.fds


def close_fds(fds):
    """Close every descriptor of a list and empty it."""
    while fds:
        os.close(fds.pop())
