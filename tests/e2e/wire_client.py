"""A client of the Baton wire protocol, version 1, written from PROTOCOL.md alone.

It checks what the broker sends (field types, sequence numbers, ids, credit, descriptor counts) and
raises WireError where the page is broken. Not thread-safe; transport: SOCK_SEQPACKET.

    session = Session.connect("@baton", timeout=5)
    session.hello("example")
    session.answer(session.sub(1, "sensors.>"))
    for event in session:
        print(event)
"""

import os
from collections import deque

from wire_codec import (
    CREDIT_FDS, CREDIT_PUBLISH, FEATURE_MEMFD, FRAME_BYTES, MAX_SUBS, PACKET_BYTES, VERSION,
    Begin, Bye, Chunk, Code, Credit, Delivery, End, Err, Flag, Frame, Gap, Header, Ingress, Ok,
    Ping, Pub, Welcome, WireError, decode_frames, encode, parse_frame)
from wire_socket import (
    close_fds, connect_seqpacket, peer_credentials, read_placed, recv_packet, sealed_memfd,
    send_packet)

MAX_OK_RUN = 1 << 20            # no honest broker answers more ids at once
FD_CREDIT_BATCH = 8             # descriptor packets are credited when so many are owed
CHUNK_BYTES = FRAME_BYTES - 8   # leaves room for the head of a CHUNK
IGNORABLE = range(0x40, 0x80)
COSTLY = (Frame.PUB, Frame.BEGIN, Frame.CHUNK, Frame.END)


def _frame_type(frame):
    return decode_frames(frame)[0][0] if isinstance(frame, bytes) else frame[0]


class SessionEnded(Exception):
    """The session ended before what was waited for came; `bye` is the broker's BYE or None."""

    def __init__(self, bye):
        super().__init__(str(bye))
        self.bye = bye


class Session:
    """One session over a connected socket. Its timeout is the socket's (`sock.settimeout`).

    Iteration yields events in the order of arrival, the last of them the Bye if there is one.
    `auto_fd_credit` and `auto_pong` may be cleared to play a client that does not answer.
    """

    def __init__(self, sock):
        self.sock = sock
        self.state = "connected"        # then "open", "leaving", "closed"
        self.welcome = self.bye_received = None
        self.window_left = 0
        self.auto_fd_credit = self.auto_pong = True
        self._accounted = True          # every publication was charged to the window
        self._events = deque()
        self._next_id = self._next_seq = 1
        self._unanswered = set()        # ids given out by new_ids
        self._fd_packets_owed = 0
        self._header = None             # the DELIVERY in force
        self._partial = None            # (header, BEGIN, descriptors, bytes so far)

    @classmethod
    def connect(cls, address, timeout=None):
        """Connect to '@name' or '/path'; hello() is still to be called."""
        return cls(connect_seqpacket(address, timeout))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the socket without BYE, and the descriptors of events that nobody took."""
        self.state = "closed"
        self.sock.close()
        for event in self._events:
            if isinstance(event, Delivery):
                close_fds(event.fds)
        if self._partial:
            close_fds(self._partial[2])

    # Sending

    def send_raw(self, data, fds=()):
        """Send one packet as it is, outside the window's account (and end its checks).

        Return False if the broker has cut the session off.
        """
        self._accounted = False
        return send_packet(self.sock, data, fds)

    def send_frames(self, *frames, fds=()):
        """Send frames as one packet, after waiting for the window that its publications cost.

        A frame is a list, or bytes: one that is encoded already, in whatever way.
        """
        encoded = [frame if isinstance(frame, bytes) else encode(frame) for frame in frames]
        self._spend(sum(len(data) for frame, data in zip(frames, encoded)
                        if _frame_type(frame) in COSTLY))
        if self.state == "leaving":
            raise RuntimeError("nothing may be sent after BYE")
        return send_packet(self.sock, b"".join(encoded), fds)

    def send_publications(self, packet):
        """Send a packet of encoded PUBs, and nothing else, after waiting for its window."""
        self._spend(len(packet))
        return send_packet(self.sock, packet)

    def _spend(self, cost):
        """Take `cost` bytes from the window; events that come meanwhile are kept."""
        while self.window_left < cost:
            self._receive()
        self.window_left -= cost

    def new_ids(self, count=1):
        """Reserve `count` consecutive ids and return the first; each is answered once."""
        first, self._next_id = self._next_id, self._next_id + count
        self._unanswered.update(range(first, self._next_id))
        return first

    def hello(self, name, features=FEATURE_MEMFD, options=None, broker_uid=None):
        """Check the broker's uid, open the session and return its Welcome."""
        if peer_credentials(self.sock)[1] not in (0, os.getuid(), broker_uid):
            raise PermissionError("the broker runs under an unexpected uid")
        self.send_frames([Frame.HELLO, VERSION, name, features, options or {}])
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
                no_echo=False, ttl_ms=0, will=False, placed=False, fds=()):
        """Publish in one PUB, or in chunks if need be; return the id (0 unless `confirm`)."""
        flags = (Ingress.CONFIRM * confirm | Ingress.RETAIN * retain | Ingress.NO_ECHO * no_echo
                 | Ingress.WILL * will)
        publication_id = self.new_ids() if confirm else 0
        before = []
        if flags or ttl_ms:
            before = [[Frame.INGRESS, int(flags), publication_id, ttl_ms]]
        self._publish(before, topic, payload, headers or {}, fds, placed)
        return publication_id

    def request(self, topic, payload=b"", headers=None, timeout_ms=0, max_fds=0, placed=False,
                fds=()):
        """Send a request; return the id for answer()."""
        request_id = self.new_ids()
        before = [[Frame.REQUEST, request_id, timeout_ms] + [max_fds] * bool(max_fds)]
        self._publish(before, topic, payload, headers or {}, fds, placed)
        return request_id

    def reply(self, token, payload=b"", headers=None, more=False, failed=False, confirm=False,
              placed=False, fds=()):
        """Answer the request of `token`; return the id (0 unless `confirm`)."""
        reply_id = self.new_ids() if confirm else 0
        flags = Flag.MORE * more | Flag.FAILED * failed
        before = [[Frame.REPLY, token, int(flags), reply_id]]
        self._publish(before, "", payload, headers or {}, fds, placed)
        return reply_id

    def _publish(self, before, topic, payload, headers, fds, placed):
        if placed:
            memfd = sealed_memfd(payload)
            try:
                pub = [Frame.PUB, len(fds) + 1, topic, headers, len(payload)]
                self.send_frames(*before, pub, fds=[*fds, memfd])
            finally:
                os.close(memfd)
            return
        pub = [Frame.PUB, len(fds), topic, headers, payload]
        if len(encode(pub)) <= FRAME_BYTES:
            self.send_frames(*before, pub, fds=fds)
            return
        self.send_frames(*before, [Frame.BEGIN, len(fds), topic, headers, len(payload)], fds=fds)
        for start in range(0, len(payload), CHUNK_BYTES):
            self.send_frames([Frame.CHUNK, payload[start:start + CHUNK_BYTES]])
        self.send_frames([Frame.END, 0])

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

    # Receiving

    def recv_packet(self):
        """Receive one packet as it is, with its descriptors; (b"", []) is the end."""
        return recv_packet(self.sock)

    def next_event(self):
        """Return the next event, or None at the end of the session."""
        while not self._events and self.state != "closed":
            self._receive()
        return self._events.popleft() if self._events else None

    def pending(self):
        """The events that came and were not taken."""
        return list(self._events)

    def __iter__(self):
        return iter(self.next_event, None)

    def take(self, matches):
        """Wait for the first event that `matches`; all others stay queued."""
        seen = 0
        while True:
            for index in range(seen, len(self._events)):
                event = self._events[index]
                if matches(event):
                    del self._events[index]
                    return event
            seen = len(self._events)
            self._receive()

    def answer(self, request_id):
        """Wait for the Ok, the Err or (to a request) the next reply of an id."""
        def matches(event):
            if isinstance(event, Delivery):
                return bool(event.flags & Flag.REPLY) and event.request == request_id
            return isinstance(event, (Ok, Err)) and event.id == request_id
        return self.take(matches)

    def _receive(self):
        """Receive one packet into the queue of events."""
        if self.state == "closed":
            raise SessionEnded(self.bye_received)
        packet, fds = self.recv_packet()
        if not packet:
            self.state = "closed"
            return
        try:
            had_fds = bool(fds)
            self._accept_packet(decode_frames(packet), fds)
        except BaseException:
            close_fds(fds)
            raise
        self._fd_packets_owed += had_fds
        if self.auto_fd_credit and self._fd_packets_owed >= FD_CREDIT_BATCH:
            self._answer([Frame.CREDIT, CREDIT_FDS, 0, self._fd_packets_owed])
            self._fd_packets_owed = 0

    def _answer(self, frame):
        """Send what the protocol asks of an open session by itself."""
        if self.state == "open":
            send_packet(self.sock, encode(frame))

    def _accept_packet(self, frames, fds):
        types = [frame[0] for frame in frames if frame[0] not in IGNORABLE]
        if fds and types not in ([Frame.DELIVERY, Frame.PUB], [Frame.DELIVERY, Frame.BEGIN]):
            raise WireError("descriptors without exactly one publication")
        self._header = None
        for frame in frames:
            if self.state == "closed":
                raise WireError("a frame after BYE")
            event = parse_frame(frame)
            if event is not None:
                self._accept(event, fds)

    def _accept(self, event, fds):
        """Account for one frame and queue its event, if it makes one."""
        if self.state == "connected" and not isinstance(event, (Welcome, Bye)):
            raise WireError(f"{event} before WELCOME")
        publication = {Header: self._accept_header, Pub: self._accept_pub,
                       Begin: self._accept_begin, Chunk: self._accept_chunk,
                       End: self._accept_end}.get(type(event))
        if publication:
            publication(event, fds)
        elif isinstance(event, Ok):
            if not 0 < event.n <= MAX_OK_RUN:
                raise WireError(f"{event} answers an impossible number of ids")
            for answered in range(event.id, event.id + event.n):
                self._finish(answered)
                self._events.append(Ok(answered, event.value))
        else:
            self._account(event)
            self._events.append(event)

    def _finish(self, answered):
        """An id has its answer, the only one."""
        if self._accounted and answered not in self._unanswered:
            raise WireError(f"an answer to id {answered}, which waits for none")
        self._unanswered.discard(answered)

    def _account(self, event):
        if isinstance(event, Welcome):
            if (self.state != "connected" or not 1 <= event.version <= VERSION
                    or len(event.instance) != 16 or event.window < 4 * PACKET_BYTES):
                raise WireError(f"unexpected {event}")
            self.welcome, self.window_left, self.state = event, event.window, "open"
        elif isinstance(event, Bye):
            self.bye_received, self.state = event, "closed"
        elif isinstance(event, Ping) and self.auto_pong:
            self._answer([Frame.PONG, event.token])
        elif isinstance(event, Credit):
            excess = self.window_left + event.amount - self.welcome.window
            if event.what != CREDIT_PUBLISH or (excess > 0 and self._accounted):
                raise WireError(f"{event} was not owed")
            self.window_left += event.amount - max(0, excess)
        elif isinstance(event, Err) and event.id:
            self._finish(event.id)
        elif isinstance(event, Gap) and event.seq != self._next_seq:
            raise WireError(f"{event} before delivery {self._next_seq}")

    def _accept_header(self, header, _fds):
        is_reply = bool(header.flags & Flag.REPLY)
        if not 1 - is_reply <= len(header.subs) <= MAX_SUBS * (1 - is_reply):
            raise WireError(f"{header} for {len(header.subs)} subscriptions")
        self._header = header

    def _take_header(self, n_fds, fds):
        """The DELIVERY of the publication at hand, whose sequence number it uses up."""
        header = self._header
        if header is None or self._partial or header.seq != self._next_seq:
            raise WireError(f"publication {self._next_seq} out of place under {header}")
        if len(fds) != n_fds - header.withheld:
            raise WireError(f"{len(fds)} descriptors, not {n_fds} less {header.withheld}")
        self._next_seq += 1
        self._header = header._replace(seq=self._next_seq)
        if header.flags & Flag.REPLY and not header.flags & Flag.MORE:
            self._finish(header.request)
        return header

    def _accept_pub(self, pub, fds):
        header, payload, form = self._take_header(pub.n_fds, fds), pub.payload, "plain"
        if not isinstance(payload, bytes):
            if not fds or not payload:
                raise WireError("placed payload without a descriptor or a size")
            payload, form = read_placed(fds[-1], payload), "placed"
            os.close(fds.pop())
        self._events.append(
            Delivery(*header, pub.topic, pub.headers, payload, fds[:], form))
        fds.clear()

    def _accept_begin(self, begin, fds):
        header = self._take_header(begin.n_fds, fds)
        self._partial = (header, begin, fds[:], bytearray())
        fds.clear()

    def _accept_chunk(self, chunk, _fds):
        if not self._partial:
            raise WireError("CHUNK without BEGIN")
        self._partial[3].extend(chunk.data)

    def _accept_end(self, end, _fds):
        if not self._partial:
            raise WireError("END without BEGIN")
        (header, begin, fds, data), self._partial = self._partial, None
        if end.status == 0 and begin.size not in (0, len(data)):
            close_fds(fds)
            raise WireError(f"{len(data)} bytes in chunks, not {begin.size}")
        payload = None if end.status else bytes(data)
        self._events.append(
            Delivery(*header, begin.topic, begin.headers, payload, fds, "chunked"))
