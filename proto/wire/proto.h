/* proto.h - the words of the protocol: frame types, flags, codes. PROTOCOL.md says what they mean.
 */
#ifndef BATON_WIRE_PROTO_H
#define BATON_WIRE_PROTO_H

enum { WIRE_VERSION = 1, WIRE_INSTANCE_BYTES = 16 };

enum wire_type {
        WIRE_HELLO = 0x01,
        WIRE_WELCOME = 0x02,
        WIRE_BYE = 0x03,
        WIRE_RIGHTS = 0x04,
        WIRE_PING = 0x05,
        WIRE_PONG = 0x06,
        WIRE_OK = 0x07,
        WIRE_ERR = 0x08,
        WIRE_SUB = 0x09,
        WIRE_UNSUB = 0x0a,
        WIRE_CREDIT = 0x0b,
        WIRE_ACK = 0x0c,
        WIRE_NACK = 0x0d,
        WIRE_GAP = 0x0e,
        WIRE_CANCEL = 0x0f,
        WIRE_PUB = 0x10,
        WIRE_BEGIN = 0x11,
        WIRE_CHUNK = 0x12,
        WIRE_END = 0x13,
        WIRE_INGRESS = 0x14,
        WIRE_REQUEST = 0x15,
        WIRE_REPLY = 0x16,
        WIRE_DELIVERY = 0x17,
        /* Types with this bit are skipped by whoever does not know them; from 0x80 on is an error.
         */
        WIRE_IGNORABLE = 0x40,
        WIRE_TYPE_END = 0x80,
};

enum wire_feature { WIRE_FEATURE_MEMFD = 1 << 0 };

enum wire_right {
        WIRE_RIGHT_PUBLISH = 1 << 0,
        WIRE_RIGHT_SUBSCRIBE = 1 << 1,
        WIRE_RIGHT_GROUP = 1 << 2,
        WIRE_RIGHT_BLOCK = 1 << 3,
        WIRE_RIGHT_RETAIN = 1 << 4,
        WIRE_RIGHT_FDS = 1 << 5,
        WIRE_RIGHT_MEMFD = 1 << 6,
        WIRE_RIGHT_ADMIN = 1 << 7,
};

enum wire_ingress_flag {
        WIRE_INGRESS_CONFIRM = 1 << 0,
        WIRE_INGRESS_RETAIN = 1 << 1,
        WIRE_INGRESS_NO_ECHO = 1 << 2,
        WIRE_INGRESS_WILL = 1 << 3,
};

/* Flags of DELIVERY; REPLY uses MORE and FAILED of the same set. */
enum wire_delivery_flag {
        WIRE_DELIVERY_RETAINED = 1 << 0,
        WIRE_DELIVERY_REQUEST = 1 << 1,
        WIRE_DELIVERY_REPLY = 1 << 2,
        WIRE_DELIVERY_MORE = 1 << 3,
        WIRE_DELIVERY_FAILED = 1 << 4,
};

enum wire_credit { WIRE_CREDIT_PUBLISH = 0, WIRE_CREDIT_SUB = 1, WIRE_CREDIT_FDS = 2 };

enum wire_overflow {
        WIRE_OVERFLOW_BLOCK = 0,
        WIRE_OVERFLOW_DROP_OLDEST = 1,
        WIRE_OVERFLOW_DROP_NEWEST = 2,
        WIRE_OVERFLOW_LATEST = 3,
        WIRE_OVERFLOW_DISCONNECT = 4,
        WIRE_OVERFLOW_N_,
};

enum wire_gap_reason {
        WIRE_GAP_OVERFLOW = 1,
        WIRE_GAP_EXPIRED = 2,
        WIRE_GAP_TOO_LARGE = 3,
        WIRE_GAP_NO_MEMORY = 4,
        WIRE_GAP_UNREADABLE = 5,
        WIRE_GAP_REVOKED = 6, /* the subscription has ended: the policy has changed */
};

enum wire_code {
        WIRE_CODE_NONE = 0,
        WIRE_CODE_PROTOCOL = 1,
        WIRE_CODE_VERSION = 2,
        WIRE_CODE_REFUSED = 3,
        WIRE_CODE_LIMIT = 4,
        WIRE_CODE_BAD_TOPIC = 5,
        WIRE_CODE_BAD_HEADERS = 6,
        WIRE_CODE_NO_RESPONDERS = 7,
        WIRE_CODE_RESPONDER_GONE = 8,
        WIRE_CODE_TIMEOUT = 9,
        WIRE_CODE_BAD_TOKEN = 10,
        WIRE_CODE_NO_SUCH_SUB = 11,
        WIRE_CODE_DUPLICATE = 12,
        WIRE_CODE_NO_MEMORY = 13,
        WIRE_CODE_STALLED = 14,
        WIRE_CODE_SHUTDOWN = 15,
        WIRE_CODE_UNSUPPORTED = 16,
        WIRE_CODE_WINDOW = 17,
        WIRE_CODE_DESCRIPTORS = 18,
        WIRE_CODE_PAYLOAD = 19,
        WIRE_CODE_CANCELLED = 20,
        WIRE_CODE_N_,
};

#endif
