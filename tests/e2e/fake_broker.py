"""A broker's side of one connection, played by a test: it can say what a broker rarely does.

Speaks from PROTOCOL.md by wire_codec; runs in a thread. What a client sends is answered as it would
be by a broker without anybody else: SUB and confirmed publications with OK.
"""

import os
import socket
import threading

from wire_codec import Code, Frame, Ingress, VERSION, decode_frames, encode
from wire_socket import close_fds, new_socket, recv_packet, send_packet, socket_name

LIMITS = {"frame_bytes": 65024, "payload_bytes": 65024, "packet_bytes": 65536, "fds": 16}
ALL_RIGHTS = (1 << 16) - 1
FDS_RIGHT = 32


class FakeBroker:
    """Listens at `address`; `on_subscribed(self, filter)` is called once there is a subscription,
    `on_publication(self, frame, id)` for each PUB, with the id that its confirm wants (or 0).

        FakeBroker(address, lambda broker, _: broker.deliver("a.b", b"x", flags=Flag.RETAINED))
    """

    def __init__(self, address, on_subscribed=None, on_publication=None, rights=ALL_RIGHTS):
        self._on_subscribed, self._on_publication = on_subscribed, on_publication
        self._rights = rights
        self._listener = new_socket(address)
        self._listener.bind(socket_name(address))
        self._listener.listen(4)
        self._next_seq = 1
        self.sock = None
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        """End the connection and the listener; raises what went wrong in the thread."""
        for sock in (self.sock, self._listener):
            if sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass                # not connected, or not any more
        self._thread.join(10)
        for sock in (self.sock, self._listener):
            if sock:
                sock.close()
        if self.error:
            raise self.error

    def send(self, *frames, fds=()):
        """Send frames as one packet."""
        return send_packet(self.sock, b"".join(map(encode, frames)), fds)

    def deliver(self, topic, payload=b"", headers=None, fds=(), flags=0, redelivered=0,
                withheld=0, token=0, age_ms=0):
        """Send one publication to subscription 1, from the session 7 of this process."""
        header = [Frame.DELIVERY, self._next_seq, 7, os.getpid(), os.getuid(), os.getgid(), [1],
                  int(flags), redelivered, withheld, token, age_ms]
        self._next_seq += 1
        self.send(header, [Frame.PUB, len(fds) + withheld, topic, headers or {}, payload], fds=fds)

    def gap(self, count, reason):
        """Tell subscription 1 that it lost `count` messages."""
        self.send([Frame.GAP, 1, count, reason, self._next_seq])

    def bye(self, code=Code.NONE, text=""):
        self.send([Frame.BYE, int(code), text])

    def _run(self):
        try:
            self.sock, _ = self._listener.accept()
            while True:
                packet, fds = recv_packet(self.sock)
                close_fds(fds)
                if not packet:
                    return
                self._answer(decode_frames(packet))
        except OSError:
            pass                        # closed
        except Exception as error:      # pylint: disable=broad-except
            self.error = error

    def _answer(self, frames):
        confirm = 0
        for frame in frames:
            kind = frame[0]
            if kind == Frame.HELLO:
                self.send([Frame.WELCOME, VERSION, 1, bytes(16), "fake 0", 0, self._rights,
                           1 << 20, LIMITS])
            elif kind == Frame.SUB:
                self.send([Frame.OK, frame[1], 0])
                if self._on_subscribed:
                    self._on_subscribed(self, frame[3])
            elif kind == Frame.INGRESS:
                confirm = frame[2] if frame[1] & Ingress.CONFIRM else 0
            elif kind == Frame.PUB:
                self._publication(frame, confirm)
                confirm += bool(confirm)
            elif kind == Frame.BYE:
                self.bye()
                self.sock.shutdown(socket.SHUT_RDWR)

    def _publication(self, frame, confirm):
        if self._on_publication:
            self._on_publication(self, frame, confirm)
        elif confirm:
            self.send([Frame.OK, confirm, 0])
