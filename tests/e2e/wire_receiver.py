"""The receiving half of a client: what a broker says, checked against PROTOCOL.md.

It raises WireError where the page is broken: field types, sequence numbers, ids, credit, counts of
descriptors, the order of chunks. `wire_client.Session` adds the sending half.
"""

import os
from collections import deque

from wire_codec import (
    CREDIT_FDS, CREDIT_PUBLISH, MAX_SUBS, PACKET_BYTES, VERSION, Begin, Bye, Chunk, Credit,
    Delivery, End, Err, Flag, Frame, Gap, Header, Ok, Ping, Pub, Welcome, WireError, decode_frames,
    encode, parse_frame)
from wire_payload import Window, read_placed
from wire_socket import DescriptorsLost, close_fds, recv_packet, send_packet

MAX_OK_RUN = 1 << 20            # no honest broker answers more ids at once
IGNORABLE = range(0x40, 0x80)


class SessionEnded(Exception):
    """The session ended before what was waited for came; `bye` is the broker's BYE or None."""

    def __init__(self, bye):
        super().__init__(str(bye))
        self.bye = bye


class Receiver:
    """Iteration yields events in the order of arrival, the last of them the Bye if there is one.

    `auto_fd_credit` and `auto_pong` may be cleared to play a client that does not answer;
    `fd_packets` counts the packets that came with descriptors.
    """

    def __init__(self, sock):
        self.sock = sock
        self.state = "connected"        # then "open", "leaving", "closed"
        self.welcome = self.bye_received = None
        self.window = Window()
        self.auto_fd_credit = self.auto_pong = True
        self.fd_packets = 0
        self._accounted = True          # every publication was charged to the window
        self._events = deque()
        self._next_seq = 1
        self._unanswered = set()        # ids that wait for their answer
        self._header = None             # the DELIVERY in force
        self._partial = None            # (header, BEGIN, descriptors, bytes so far)
        self._fds_were_lost = False     # of the packet at hand

    def close(self):
        """Close the socket without BYE, and the descriptors of events that nobody took."""
        self.state = "closed"
        self.sock.close()
        for event in self._events:
            if isinstance(event, Delivery):
                close_fds(event.fds)
        if self._partial:
            close_fds(self._partial[2])

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
        try:
            packet, fds = self.recv_packet()
            had_fds, self._fds_were_lost = bool(fds), False
        except DescriptorsLost as lost:
            packet, fds = lost.data, []
            had_fds = self._fds_were_lost = True
        if not packet:
            self.state = "closed"
            return
        try:
            self._accept_packet(decode_frames(packet), had_fds, fds)
        except BaseException:
            close_fds(fds)
            raise
        self.fd_packets += had_fds
        if had_fds and self.auto_fd_credit:
            self._answer([Frame.CREDIT, CREDIT_FDS, 0, 1])

    def _answer(self, frame):
        """Send what the protocol asks of an open session by itself."""
        if self.state == "open":
            send_packet(self.sock, encode(frame))

    # One packet

    def _accept_packet(self, frames, had_fds, fds):
        types = [frame[0] for frame in frames if frame[0] not in IGNORABLE]
        if had_fds and types not in ([Frame.DELIVERY, Frame.PUB], [Frame.DELIVERY, Frame.BEGIN]):
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
            self.welcome, self.state = event, "open"
            self.window.open(event.window)
        elif isinstance(event, Bye):
            self.bye_received, self.state = event, "closed"
        elif isinstance(event, Ping) and self.auto_pong:
            self._answer([Frame.PONG, event.token])
        elif isinstance(event, Credit):
            excess = self.window.left + event.amount - self.window.size
            if event.what != CREDIT_PUBLISH or (excess > 0 and self._accounted):
                raise WireError(f"{event} was not owed")
            self.window.left += event.amount - max(0, excess)
        elif isinstance(event, Err) and event.id:
            self._finish(event.id)
        elif isinstance(event, Gap) and event.seq != self._next_seq:
            raise WireError(f"{event} before delivery {self._next_seq}")

    # Publications

    def _accept_header(self, header, _fds):
        is_reply = bool(header.flags & Flag.REPLY)
        if not 1 - is_reply <= len(header.subs) <= MAX_SUBS * (1 - is_reply):
            raise WireError(f"{header} for {len(header.subs)} subscriptions")
        self._header = header

    def _take_header(self, n_fds, fds, has_payload_fd=False):
        """The DELIVERY of the publication at hand, whose sequence number it uses up."""
        header, users = self._header, n_fds - has_payload_fd
        if header is None or self._partial or header.seq != self._next_seq:
            raise WireError(f"publication {self._next_seq} out of place under {header}")
        if header.withheld not in (0, users):
            raise WireError(f"{header.withheld} of {users} descriptors were withheld")
        if self._fds_were_lost:
            header = header._replace(withheld=users)
        elif len(fds) != n_fds - header.withheld:
            raise WireError(f"{len(fds)} descriptors, not {n_fds} less {header.withheld}")
        self._next_seq += 1
        self._header = header._replace(seq=self._next_seq)
        if header.flags & Flag.REPLY and not header.flags & Flag.MORE:
            self._finish(header.request)
        return header

    def _accept_pub(self, pub, fds):
        is_placed = not isinstance(pub.payload, bytes)
        if is_placed and not (pub.payload and pub.n_fds):
            raise WireError("placed payload without a descriptor or a size")
        header = self._take_header(pub.n_fds, fds, is_placed)
        payload, form = pub.payload, "plain"
        if is_placed and self._fds_were_lost:
            payload, form = None, "lost"
        elif is_placed:
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
