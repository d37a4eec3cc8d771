"""A client of the Baton wire protocol, version 1, written from PROTOCOL.md alone.

It checks what the broker sends (wire_receiver) and keeps to its own window. Not thread-safe; over
SOCK_SEQPACKET or SOCK_STREAM, connected or inherited.

    session = Session.connect("@baton", timeout=5)
    session.hello("example")
    session.answer(session.sub(1, "sensors.>"))
    for event in session:
        print(event)
"""

import os

from wire_codec import (
    FEATURE_MEMFD, FRAME_BYTES, VERSION, Code, Flag, Frame, Ingress, encode)
from wire_payload import chunks_of, sealed_memfd
from wire_receiver import Receiver, SessionEnded
from wire_socket import connect_to, peer_credentials, send_packet


class Session(Receiver):
    """One session over a connected socket. Its timeout is the socket's (`sock.settimeout`)."""

    def __init__(self, sock):
        super().__init__(sock)
        self._next_id = 1

    @classmethod
    def connect(cls, address, timeout=None):
        """Connect to '@name', '/path' or 'stream:/path'; hello() is still to be called."""
        return cls(connect_to(address, timeout))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data, fds=()):
        """Send one packet as it is, outside the window's account (and end its checks).

        Return False if the broker has cut the session off.
        """
        self._accounted = False
        return send_packet(self.sock, data, fds)

    def send_frames(self, *frames, fds=(), with_credentials=False):
        """Send frames as one packet, after waiting for the window that its publications cost.

        A frame is a list, or bytes: one that is encoded already, in whatever way.
        """
        encoded = [frame if isinstance(frame, bytes) else encode(frame) for frame in frames]
        self._spend(sum(self.window.cost(frame, len(data))
                        for frame, data in zip(frames, encoded)))
        if self.state == "leaving":
            raise RuntimeError("nothing may be sent after BYE")
        return send_packet(self.sock, b"".join(encoded), fds, with_credentials)

    def send_publications(self, packet):
        """Send a packet of encoded PUBs, and nothing else, after waiting for its window."""
        self._spend(len(packet))
        return send_packet(self.sock, packet)

    def _spend(self, cost):
        """Take `cost` bytes from the window; events that come meanwhile are kept."""
        while self.window.left < cost:
            self._receive()
        self.window.left -= cost

    def new_ids(self, count=1):
        """Reserve `count` consecutive ids and return the first; each is answered once."""
        first, self._next_id = self._next_id, self._next_id + count
        self._unanswered.update(range(first, self._next_id))
        return first

    def hello(self, name, features=FEATURE_MEMFD, options=None, broker_uid=None,
              with_credentials=False):
        """Check the broker's uid, open the session and return its Welcome.

        with_credentials    for an inherited socket: say in HELLO who we are.
        """
        if peer_credentials(self.sock)[1] not in (0, os.getuid(), broker_uid):
            raise PermissionError("the broker runs under an unexpected uid")
        self.send_frames([Frame.HELLO, VERSION, name, features, options or {}],
                         with_credentials=with_credentials)
        while self.state == "connected":
            self._receive()
        if self.state == "closed":
            raise SessionEnded(self.bye_received)
        return self.welcome

    def sub(self, number, pattern, **options):
        """Subscribe as `number`; return the id for answer()."""
        request_id = self.new_ids()
        self.send_frames([Frame.SUB, request_id, number, pattern, options])
        return request_id

    def unsub(self, number):
        """End subscription `number`; return the id for answer()."""
        request_id = self.new_ids()
        self.send_frames([Frame.UNSUB, request_id, number])
        return request_id

    def publish(self, topic, payload=b"", headers=None, confirm=False, retain=False,
                no_echo=False, ttl_ms=0, will=False, form=None, fds=()):
        """Publish; return the id (0 unless `confirm`).

        form    "plain", "placed" or "chunked"; None: "chunked" if one PUB cannot hold it.
        """
        flags = (Ingress.CONFIRM * confirm | Ingress.RETAIN * retain | Ingress.NO_ECHO * no_echo
                 | Ingress.WILL * will)
        publication_id = self.new_ids() if confirm else 0
        before = []
        if flags or ttl_ms:
            before = [[Frame.INGRESS, int(flags), publication_id, ttl_ms]]
        self._publish(before, topic, payload, headers or {}, form, fds)
        return publication_id

    def request(self, topic, payload=b"", headers=None, timeout_ms=0, max_fds=0, form=None,
                fds=()):
        """Send a request; return the id for answer()."""
        request_id = self.new_ids()
        before = [[Frame.REQUEST, request_id, timeout_ms] + [max_fds] * bool(max_fds)]
        self._publish(before, topic, payload, headers or {}, form, fds)
        return request_id

    def reply(self, token, payload=b"", headers=None, more=False, failed=False, confirm=False,
              form=None, fds=()):
        """Answer the request of `token`; return the id (0 unless `confirm`)."""
        reply_id = self.new_ids() if confirm else 0
        flags = Flag.MORE * more | Flag.FAILED * failed
        before = [[Frame.REPLY, token, int(flags), reply_id]]
        self._publish(before, "", payload, headers or {}, form, fds)
        return reply_id

    def _publish(self, before, topic, payload, headers, form, fds):
        pub = [Frame.PUB, len(fds), topic, headers, payload]
        is_small = form is None and len(payload) < FRAME_BYTES and len(encode(pub)) <= FRAME_BYTES
        if form == "placed":
            self._publish_placed(before, pub, fds)
        elif is_small or form == "plain":
            self.send_frames(*before, pub, fds=fds)
        else:
            begin = [Frame.BEGIN, len(fds), topic, headers, len(payload)]
            self.send_frames(*before, begin, fds=fds)
            for chunk in chunks_of(payload):
                self.send_frames(chunk)
            self.send_frames([Frame.END, 0])

    def _publish_placed(self, before, pub, fds):
        _, n_fds, topic, headers, payload = pub
        memfd = sealed_memfd(payload)
        try:
            self.send_frames(*before, [Frame.PUB, n_fds + 1, topic, headers, len(payload)],
                             fds=[*fds, memfd])
        finally:
            os.close(memfd)

    def cancel(self, request_id):
        """Cancel a request; it ends with Err(CANCELLED) unless its end was under way."""
        self.send_frames([Frame.CANCEL, request_id])

    def ack(self, first, last=None):
        """Acknowledge deliveries `first` to `last`."""
        self.send_frames([Frame.ACK, first, first if last is None else last])

    def nack(self, first, last=None, delay_ms=0):
        """Hand deliveries `first` to `last` back to their group."""
        self.send_frames([Frame.NACK, first, first if last is None else last, delay_ms])

    def credit(self, what, credit_id, amount):
        """Release deliveries of a subscription (CREDIT_SUB) or descriptors (CREDIT_FDS)."""
        self.send_frames([Frame.CREDIT, what, credit_id, amount])

    def ping(self, token):
        """Ask for a Pong with the same token."""
        self.send_frames([Frame.PING, token])

    def bye(self, code=Code.NONE, text=""):
        """Leave: events go on until the broker's Bye."""
        self.send_frames([Frame.BYE, code, text])
        self.state = "leaving"
