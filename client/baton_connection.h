/* baton_connection.h - the connection of a handle: settings, staying connected, facts, errors. Part
 * of baton.h, which includes it; nobody needs it to begin with. */
#ifndef BATON_CONNECTION_H
#define BATON_CONNECTION_H

#include "baton_message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- settings */

/* Before baton_connect: the name that `status` shows (<= 64 bytes, plain text; gives no rights). */
BATON_API BATON_MUST int baton_set_name(baton *b, const char *name);

/* Publishing and baton_flush then return -EAGAIN instead of waiting; try again after the next
 * baton_process. Calls that wait for an answer, and baton_connect and baton_close, wait all the
 * same: they have a twin that does not (..._start), or a time-out of 0. */
BATON_API void baton_set_nonblocking(baton *b, bool on);

/* As if every publication had BATON_NO_ECHO. */
BATON_API void baton_set_no_echo(baton *b, bool on);

/* Before baton_connect: payloads of more than `bytes` travel in a sealed memfd, which all receivers
 * share (0: those that fit no frame, about 64,000 bytes). SIZE_MAX: memfds are neither sent nor
 * received. Without them (so it is, too, where system, broker or policy have none) what fits no
 * frame travels in chunks. The user sees no difference. */
BATON_API void baton_set_large(baton *b, size_t bytes);

/* Bytes of received messages kept while a blocking call waits (64 MiB); what lies in a memfd does
 * not count, but for its descriptor. */
BATON_API void baton_set_inbox(baton *b, size_t bytes);

/* Called for what a person should know though no call failed: addresses skipped, an unconfirmed
 * publication refused, another overflow policy than asked for, messages lost and no gap callback.
 * It must not use the handle. */
typedef void (*baton_log_fn)(const char *text, void *arg);
BATON_API void baton_set_log(baton *b, baton_log_fn fn, void *arg);

/* Called where messages of a subscription were lost, in their place in the order. */
struct baton_gap {
        uint32_t subscription;
        const char *filter;
        uint64_t count;
        /* "overflow", "expired", "not readable" (a payload), ...; "revoked": the broker's policy
         * has changed, and the subscription is over until the next connection; `count` is 0. */
        const char *reason;
};
typedef void (*baton_gap_fn)(baton *b, const struct baton_gap *gap, void *arg);
BATON_API void baton_set_gap(baton *b, baton_gap_fn fn, void *arg);

/* ---------------------------------------------------------------- connecting in an event loop */

/* baton_connect_start is baton_connect without waiting (timeout_ms -1: no limit): `done` (may be
 * NULL) is called, in a baton_process, with 0 or with why not; before BATON_READY, if that is told.
 * Until then poll as always: baton_fd is -1, or another descriptor, for each address in turn.
 * baton_close and baton_free end it.
 *
 * Returns 0 · -EINVAL (address, $BATON_FD) · -EISCONN, also while it tries already · -EBUSY
 * ($BATON_FD was used before) · -ENOMEM. */
BATON_API BATON_MUST int baton_connect_start(
        baton *b, const char *addresses, int timeout_ms, baton_done_fn done, void *arg);

/* ---------------------------------------------------------------- staying connected */

/* A handle that reconnects. When it loses its broker it is *away*: it tries the same addresses
 * again, first after `first_ms`, then after twice as long each time, up to `most_ms`; each wait is
 * shortened by up to a half, by chance: clients that lost the same broker do not all come at once.
 * It tries while the application waits, processes or publishes; there is no thread.
 *
 * Subscriptions stay: they are made again, under their numbers and with their options, before
 * anything else is sent. So are retained publications (if it is another instance of the broker,
 * which has none of them) and the will. Subscribing and unsubscribing go on while it is away.
 *
 * What cannot be known is told: confirmed publications and requests that were sent and not yet
 * answered end with -ENOTCONN, and BATON_LOST counts the publications that nobody confirmed. What
 * was published by others meanwhile is missed, and so is what the broker had queued for us. */
enum baton_change {
        BATON_LOST = 1, /* the connection; `text` says why. From now on away */
        BATON_BACK,     /* connected again; nothing of the new connection was dispatched before */
        /* All subscriptions are in force, what was kept has been sent; after BACK, and after the
         * first connecting. */
        BATON_READY,
        BATON_DENIED, /* the broker refuses `filter` (or `topic`) now: it is not tried again */
        BATON_GONE,   /* for good: what failed cannot be otherwise next time (-EACCES, $BATON_FD) */
};

struct baton_event {
        enum baton_change change;
        int error;           /* LOST, DENIED, GONE: negative errno; else 0 */
        const char *text;    /* a line for people, with the address */
        bool other_instance; /* BACK, READY: the broker was started anew since */
        /* LOST: publications (unconfirmed, and at most so many) of which it is not known whether
         * the broker took them. */
        uint64_t uncertain;
        /* READY, GONE: publications that were kept and could not be sent: too old (ttl), refused
         * by a limit of the new connection, or there was no memory. */
        uint64_t dropped;
        /* BACK: publications that the broker had for this handle and that did not come, if it is
         * the same instance and still knows; else -1. What was published while it was away is not
         * in it.
         */
        int64_t missed;
        uint32_t subscription; /* DENIED: its number, which is free now; 0: a publication */
        const char *filter;    /* DENIED: its filter; or the topic of that publication */
        const void *reserved[4];
};
typedef void (*baton_event_fn)(baton *b, const struct baton_event *event, void *arg);

/* Zero what you do not use. */
struct baton_reconnect {
        unsigned first_ms, most_ms; /* 0: 50 and 500 */
        /* Bytes of publications (each its topic, headers, payload, some 100 more, and 4,096 for a
         * descriptor) that are kept while away, in order, those too that were gathered and not
         * sent; more are -ENOBUFS. 0: none is kept, publishing is -ENOTCONN. What waits
         * for its confirmation goes on waiting. Replies and requests are never kept. */
        size_t keep_bytes;
        baton_event_fn on_event; /* may be NULL: then the log is told */
        void *arg;
        const void *reserved[4];
};

/* Before or after connecting; NULL: off again, as it is at first. With it, baton_connect and
 * baton_connect_start too go on trying until their time is up, and a handle that has not connected
 * yet counts as away. Returns 0 · -EINVAL first_ms > most_ms · -ENOMEM. */
BATON_API BATON_MUST int baton_set_reconnect(baton *b, const struct baton_reconnect *options);

/* Not connected, and trying: subscribing works, publishing as far as `keep_bytes` says. */
BATON_API bool baton_is_away(const baton *b);

/* ---------------------------------------------------------------- facts and errors */

/* baton_strerror says what a negative result means, in a few words, for every errno that baton.h
 * names: "no responders", "a limit of the broker"; and what strerror says for others. Never NULL.
 * baton_error() says more: which address, which limit, and what to do. */
BATON_API const char *baton_strerror(int result);

/* baton_code_name gives the stable name of a code of baton_code(): "REFUSED", "LIMIT"; "UNKNOWN"
 * for those that this library does not know, "NONE" for 0. */
BATON_API const char *baton_code_name(int code);

/* Facts of the connection; address as text, session number, the broker's 16-byte instance id,
 * rights (PROTOCOL.md part 3), credentials (of whoever made the pair, if it is one; pid 0 over
 * `dgram:`), and one limit by its name (0 if the broker did not name it). */
BATON_API const char *baton_address(const baton *b);
BATON_API uint64_t baton_session(const baton *b);
BATON_API const uint8_t *baton_instance(const baton *b);
BATON_API uint64_t baton_rights(const baton *b);
BATON_API struct baton_sender baton_broker(const baton *b);
BATON_API uint64_t baton_limit(const baton *b, const char *name);

#ifdef __cplusplus
}
#endif

#endif
