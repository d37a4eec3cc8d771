/* limits.h - every bound in Baton, with its unit and its reason.
 *
 * WIRE_ limits are part of the protocol: both sides may rely on them. LIMIT_ values are the
 * broker's defaults; it tells clients those that concern them in WELCOME, under the name given in
 * quotes, and `broker --limit NAME=VALUE` changes them. CLIENT_ values bound the library. */
#ifndef BATON_WIRE_LIMITS_H
#define BATON_WIRE_LIMITS_H

enum {
        /* Bytes of one packet. Above about 85 KB the kernel needs a contiguous allocation of a high
         * order and send fails under fragmentation; 64 KiB also fits the default SO_SNDBUF thrice.
         */
        WIRE_PACKET_BYTES = 65536,
        /* Bytes kept free of a packet for the broker's delivery header: 11 numbers of 9 bytes and
         * 64 subscription numbers of 5, with the headers of both arrays and the type, are 424. */
        WIRE_HEADER_ROOM = 512,
        /* Bytes of one frame, so that header and frame fit a packet. */
        WIRE_FRAME_BYTES = WIRE_PACKET_BYTES - WIRE_HEADER_ROOM,
        /* Nesting of msgpack containers, the frame's own array included. */
        WIRE_DEPTH = 16,
        WIRE_TOPIC_BYTES = 255,
        WIRE_TOPIC_TOKENS = 16,
        /* Entries and encoded bytes of a publication's headers. */
        WIRE_HEADER_ENTRIES = 64,
        WIRE_HEADER_BYTES = 8192,
        WIRE_HEADER_KEY_BYTES = 255,
        /* Descriptors of one message (CVE-2014-3636: 16 instead of the kernel's 253). */
        WIRE_FDS = 16,
        /* What a publication costs of its publisher's window beside its bytes: for each descriptor,
         * and for each so many bytes of a placed or chunked payload; both together up to a part of
         * the window. So what is parked is bounded in all three, and nothing is lost for it. */
        WIRE_FD_COST = 4096,
        WIRE_PLACED_DIVISOR = 1024,
        WIRE_EXTRA_DIVISOR = 4,
        /* The window of a receiver: descriptors under way, and those of payloads among them, which
         * may be large. */
        WIRE_FD_WINDOW = 64,
        WIRE_FD_PAYLOADS = 16,
        /* Bytes of HELLO's and WELCOME's name. */
        WIRE_NAME_BYTES = 64,
        /* Bytes of the text of ERR and BYE that either side sends. */
        WIRE_TEXT_BYTES = 512,
        /* Subscription numbers in one delivery header; more are delivered under another. */
        WIRE_DELIVERY_SUBS = 64,
        /* The longest a request may be asked to wait, and what 0 means. Milliseconds. */
        WIRE_REQUEST_MS_MAX = 86400000,
        WIRE_REQUEST_MS_DEFAULT = 30000,
        /* What SUB's ack_ms, max_deliveries and, for a group, window are if absent or 0. */
        WIRE_ACK_MS_DEFAULT = 30000,
        /* The longest ack_ms, and delay of a NACK; more is as much. */
        WIRE_ACK_MS_MAX = 86400000,
        WIRE_DELIVERIES_DEFAULT = 5,
        WIRE_GROUP_WINDOW_DEFAULT = 16,

        /* "window_bytes": publication bytes a session may have under way. A round trip of 64 KiB
         * packets takes some 100 us, so 1 MiB keeps 10 GB/s going. What is parked is under it. */
        LIMIT_WINDOW_BYTES = 1 << 20,
        /* "queue_bytes", "queue_messages": backlog of one session. At 64 B a message the entries
         * weigh more than the bytes, hence the second number. */
        LIMIT_QUEUE_BYTES = 4 << 20,
        LIMIT_QUEUE_MESSAGES = 65536,
        /* "queue_fds", "placed_bytes": descriptors, and bytes of placed payloads, in one backlog.
         * The bytes are shared by all who have them; a single payload may be larger. */
        LIMIT_QUEUE_FDS = 256,
        LIMIT_PLACED_BYTES = 256 << 20,
        /* "payload_bytes": the largest payload, placed or chunked. */
        LIMIT_PAYLOAD_BYTES = 1 << 30,
        /* "spool_bytes": what the broker collects of unfinished chunked payloads, of all sessions.
         * It is memory: two of the largest, less one byte. */
        LIMIT_SPOOL_BYTES = 0x7fffffff,
        /* "held_fds": descriptors of messages that the broker has open; "flight_fds": that it has
         * sent and nobody has received. The shell lowers both to what RLIMIT_NOFILE leaves: the
         * kernel counts those in flight for all processes of the uid (F8). */
        LIMIT_HELD_FDS = 65536,
        LIMIT_FLIGHT_FDS = 65536,
        /* Milliseconds between tries while the kernel has too many descriptors in flight. */
        LIMIT_FLIGHT_RETRY_MS = 100,
        /* How long after stall_ms a message whose descriptors the kernel refuses still waits. */
        LIMIT_FLIGHT_PATIENCE_MS = 5000,
        /* Low water is this fraction of the backlog's limits: below it a session is not stalled and
         * blocked publishers are let in again. */
        LIMIT_LOW_WATER_DIVISOR = 4,
        /* "stall_ms": backlog above low water for so long ends the session; a payload in chunks of
         * which nothing comes for so long is given up; a packet of a stream must be whole by then.
         */
        LIMIT_STALL_MS = 30000,
        /* "groups": those without members too, so what they take and keep is bounded. */
        LIMIT_GROUPS = 4096,
        /* "unacknowledged": of all groups of one session. It keeps looking for them cheap. */
        LIMIT_UNACKNOWLEDGED = 4096,
        /* "linger_ms": what a group that acknowledges holds is kept so long without members. */
        LIMIT_LINGER_MS = 30000,
        /* "handshake_ms": from accept to HELLO. 30 s, not 5: slow boots (dbus 1.9.4). */
        LIMIT_HANDSHAKE_MS = 30000,
        /* "drain_ms": what a leaving session, or SIGTERM, gives the queues. */
        LIMIT_DRAIN_MS = 5000,
        /* "control_bytes": answers (OK, ERR, PONG, CREDIT) waiting for a session that does not
         * read. 10,000 confirms that differ take 80 KB. */
        LIMIT_CONTROL_BYTES = 256 << 10,
        /* "sessions": each costs a descriptor and up to queue_bytes. */
        LIMIT_SESSIONS = 1024,
        /* "unready": of them, connected but without HELLO. */
        LIMIT_UNREADY = 256,
        /* "subscriptions" of one session; W6 of the benchmark uses 10,000. */
        LIMIT_SUBSCRIPTIONS = 16384,
        /* "requests": unanswered requests of one session. */
        LIMIT_REQUESTS = 4096,
        /* "retained", "retained_bytes": last values kept, and what they weigh, payloads in memory
         * files too. */
        LIMIT_RETAINED = 16384,
        LIMIT_RETAINED_BYTES = 256 << 20,
        /* "routes": topics whose receivers are remembered. A route with one receiver is 200 B. */
        LIMIT_ROUTES = 65536,
        /* "match_nodes": steps of one wildcard match; 16 tokens with a `*` branch at each level
         * would be 65,536. A publication whose match needs more is refused (LIMIT). */
        LIMIT_MATCH_NODES = 65536,

        /* What a uid other than the broker's own and root may have, all its sessions together, if
         * the policy does not say otherwise. A session may have no more than a fair share of it.
         * "uid_sessions", "uid_unready": 64 as dbus-broker's; of them without HELLO. */
        LIMIT_UID_SESSIONS = 64,
        LIMIT_UID_UNREADY = 16,
        /* "uid_connects": connections a second, a second's worth at once. */
        LIMIT_UID_CONNECTS = 64,
        LIMIT_UID_SUBSCRIPTIONS = 4096,
        LIMIT_UID_REQUESTS = 4096,
        LIMIT_UID_GROUPS = 64,
        /* "uid_queue_bytes": in backlogs of its sessions, in groups that it made, and parked. */
        LIMIT_UID_QUEUE_BYTES = 32 << 20,
        LIMIT_UID_RETAINED = 1024,
        LIMIT_UID_RETAINED_BYTES = 1 << 20,
        /* "uid_fds": of messages it sent, open here; "uid_flight_fds": under way to it. */
        LIMIT_UID_FDS = 256,
        LIMIT_UID_FLIGHT_FDS = 256,
        LIMIT_UID_SPOOL_BYTES = 64 << 20,
        /* "all_queue_bytes": of it uids other than the broker's own and root have fair shares. */
        LIMIT_ALL_QUEUE_BYTES = 1 << 30,

        /* Datagrams the broker reads from one listener before it serves the rest. */
        LIMIT_READS_PER_TURN = 16,
        /* Connections accepted from one listener before it serves the rest. */
        LIMIT_ACCEPTS_PER_TURN = 2,
        /* listen(2) backlog: 1,000 clients that come back at once must fit. */
        LIMIT_BACKLOG = 4096,
        /* Milliseconds a listener rests after accept failed for want of descriptors or memory. */
        LIMIT_ACCEPT_PAUSE_MS = 100,
        /* Addresses a broker listens on, or a client tries. */
        LIMIT_ADDRESSES = 16,

        /* Received publications the library keeps for the application while a blocking call waits.
         * Bytes; beyond it the call fails with -ENOBUFS rather than wait for ever. */
        CLIENT_INBOX_BYTES = 64 << 20,
        /* Answers (confirms, requests) that a client may wait for at once. */
        CLIENT_PENDING = 65536,
};

#endif
