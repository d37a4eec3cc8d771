"""Packets and their descriptors over AF_UNIX SOCK_SEQPACKET, as the page's part 1 and 10 say."""

import array
import fcntl
import mmap
import os
import socket
import struct

from wire_codec import PACKET_BYTES, WireError

MAX_FDS = 16 + 1                # the descriptors of a publication and one placed payload
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def socket_name(address):
    """What bind and connect call '@name' (abstract) or a path."""
    return b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)


def connect_seqpacket(address, timeout=None):
    """Connect to '@name' (abstract) or a path and return the socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout)
        sock.connect(socket_name(address))
    except BaseException:
        sock.close()
        raise
    return sock


def peer_credentials(sock):
    """The (pid, uid, gid) of the process at the other end."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("iII", credentials)


def send_packet(sock, data, fds=()):
    """Send one packet. Return False if the other end has cut the connection."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], rights)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def recv_packet(sock):
    """Receive one packet and its descriptors; (b"", []) is the end."""
    while True:
        try:
            data, control, flags, _ = sock.recvmsg(
                PACKET_BYTES, socket.CMSG_SPACE(4 * MAX_FDS), socket.MSG_CMSG_CLOEXEC)
            break
        except ConnectionResetError:
            continue                # what was queued before the reset is still to come
    numbers = array.array("i")
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(value[:len(value) - len(value) % numbers.itemsize])
    fds = list(numbers)
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_fds(fds)
        raise WireError("packet too long, or descriptors lost")
    return data, fds


def close_fds(fds):
    """Close every descriptor of a list and empty it."""
    while fds:
        os.close(fds.pop())


def sealed_memfd(data):
    """Return a new memfd that holds `data`, sealed as a placed payload must be."""
    fd = os.memfd_create("baton", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def read_placed(fd, size):
    """Verify a placed payload and return its bytes."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS or os.fstat(fd).st_size != size:
        raise WireError("placed payload is not sealed or not of its size")
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapping:
        return bytes(mapping)
