/* baton_message.h - what travels: messages, their headers, payloads and descriptors. Part of
 * baton.h, which includes it. */
#ifndef BATON_MESSAGE_H
#define BATON_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BATON_API  __attribute__((visibility("default")))
#define BATON_MUST __attribute__((warn_unused_result))
#else
#define BATON_API
#define BATON_MUST
#endif

#define BATON_VERSION "0.1.0"

typedef struct baton baton;

/* ---------------------------------------------------------------- messages */

enum baton_header_kind {
        BATON_NIL,
        BATON_BOOL,
        BATON_INT,   /* negative integers */
        BATON_UINT,  /* non-negative integers */
        BATON_FLOAT, /* finite */
        BATON_STR,
        BATON_BIN,
};

struct baton_header {
        const char *key; /* NUL-terminated when you publish; key_len 0 then means strlen(key) */
        size_t key_len;
        enum baton_header_kind kind;
        union {
                bool boolean;
                int64_t i;
                uint64_t u;
                double f;
                struct {
                        const void *data;
                        size_t len;
                } bytes; /* BATON_STR, BATON_BIN */
        } value;
};

/* Who sent a message, as the kernel attested it when that client connected. Session 0 is the
 * broker, or somebody without a connection (`dgram:`). */
struct baton_sender {
        uint64_t session;
        pid_t pid;
        uid_t uid;
        gid_t gid;
};

/* A received message. Borrowed until the callback returns. */
struct baton_message {
        const char *topic; /* "" for a reply */
        size_t topic_len;
        const void *payload; /* not NULL, also if it is empty; read-only memory */
        size_t payload_len;
        struct baton_sender sender;
        uint64_t seq;          /* number of this delivery in this session */
        uint64_t age_ms;       /* time in the broker, for retained messages and those with a ttl */
        uint64_t token;        /* of a request: the right to reply, see baton_reply */
        uint64_t receipt;      /* with `ack`: for baton_ack and baton_nack; else 0 */
        uint32_t subscription; /* which one matched; 0 for a reply */
        uint32_t redelivered;  /* times delivered before */
        uint32_t n_headers;    /* walk them with baton_header_at */
        uint32_t n_fds;
        uint32_t fds_withheld;
        const int *fds; /* [n_fds], borrowed, close-on-exec: see baton_take_fd */
        int payload_fd; /* the sealed memfd that a large payload lies in, borrowed; -1: none */
        bool retained;  /* the topic's last value from before you subscribed */
        bool is_request;
        bool more;   /* reply: further replies follow */
        bool failed; /* reply: the responder could not do it */
        const void *reserved[4];
};

/* baton_header_at reads header `i` < n_headers of a received message; baton_header_find the one
 * called `key`. Keys of received headers are not NUL-terminated: use key_len. Returns 0 · -ENOENT.
 */
BATON_API BATON_MUST int baton_header_at(
        const struct baton_message *m, uint32_t i, struct baton_header *ret_header);
BATON_API BATON_MUST int baton_header_find(
        const struct baton_message *m, const char *key, struct baton_header *ret_header);

/* baton_take_fd makes descriptor `i` < n_fds yours: a copy, close-on-exec, that outlives the
 * callback. It shares its file offset with everybody who has the file: read with pread, or reopen
 * it. Returns the descriptor · -EINVAL no such · -EMFILE. */
BATON_API BATON_MUST int baton_take_fd(const struct baton_message *m, uint32_t i);

/* baton_take_payload makes the payload yours beyond the callback. One that came in a memfd stays
 * where it is, mapped; others are copied. Give it back with baton_drop_payload, in any thread.
 * Returns 0 · -ENOMEM. */
struct baton_payload {
        const void *data; /* [len], read-only */
        size_t len;
        void *reserved;
};
BATON_API BATON_MUST int baton_take_payload(
        const struct baton_message *m, struct baton_payload *ret_payload);
BATON_API void baton_drop_payload(struct baton_payload *payload);

/* A message to publish, to request with, or to reply with. Zero what you do not use. */
struct baton_publication {
        const char *topic; /* a reply: NULL */
        const void *payload;
        size_t payload_len;
        const struct baton_header *headers; /* [n_headers] */
        size_t n_headers;
        const int *fds; /* [n_fds]: stay yours, are duplicated by the kernel */
        size_t n_fds;
        uint32_t flags;     /* BATON_NO_ECHO ... */
        uint32_t ttl_ms;    /* 0: no end */
        uint32_t reply_fds; /* a request: descriptors that a reply may carry */
        const void *reserved[4];
};

enum {
        BATON_NO_ECHO = 1 << 0, /* not back to this handle */
        BATON_RETAIN =
                1 << 1, /* kept as the topic's last value; empty, without descriptors: cleared */
        BATON_WILL = 1 << 2, /* published by the broker when this client ends without baton_close */
        BATON_MORE = 1 << 3, /* reply: further replies follow */
        BATON_FAILED = 1 << 4, /* reply: could not be done, the payload says why */
};

/* ---------------------------------------------------------------- callbacks */

/* Called with a message for a subscription, or a reply. */
typedef void (*baton_message_fn)(baton *b, const struct baton_message *m, void *arg);

/* The end of something started: `result` >= 0 done, or a negative errno and `text` says why. Called
 * exactly once, also when the connection is lost or the handle freed (-ENOTCONN). */
typedef void (*baton_done_fn)(baton *b, int result, const char *text, void *arg);

#ifdef __cplusplus
}
#endif

#endif
