/* baton.h - talk to the services of this host through Baton.
 *
 *      #include <baton.h>
 *      #include <stdio.h>
 *
 *      static void on_message(baton *b, const struct baton_message *m, void *arg)
 *      {
 *              (void)b, (void)arg;
 *              printf("%s %.*s (uid %u)\n", m->topic, (int)m->payload_len,
 *                      (const char *)m->payload, m->sender.uid);
 *      }
 *
 *      int main(void)
 *      {
 *              baton *b;
 *              if (baton_new(&b) < 0)
 *                      return 1;
 *              if (baton_connect(b, NULL, 5000) == 0 &&
 *                  baton_subscribe(b, "sensors.>", NULL, on_message, NULL, NULL) == 0 &&
 *                  baton_publish(b, "sensors.cabin.temp", "21.5", 4) == 0)
 *                      while (baton_wait(b, -1) >= 0)
 *                              fflush(stdout);
 *              fprintf(stderr, "%s\n", baton_error(b));
 *              baton_free(b);
 *              return 1;
 *      } // cc -Iclient example.c bazel-bin/client/libbaton.a -lmsgpackc
 *
 * (In the project's directory, after `bazel build //client:static`; where Baton is installed, with
 * `pkg-config --cflags --libs baton`.)
 *
 * Topics are tokens with dots between them, `sensors.cabin.temp`: at most 255 bytes and 16 tokens
 * of UTF-8, without spaces, control characters, `*` and `>`. Those that begin with `$` are the
 * broker's: publishing there is refused, which `done` or the log is told. A filter may have `*` for
 * a token, and `>` at the end for all that follow. Everybody whose filter matches gets a message,
 * its publisher too (but see BATON_NO_ECHO).
 *
 * Results. Functions that return int return 0 or a count for done, a negative errno for failed;
 * then baton_error() has a line for people and baton_code() the broker's code:
 *
 *      -EISCONN       connected, or connecting, already
 *      -EINTR         baton_wait: a signal came
 *      -EBADF, -EMFILE, ...  of a descriptor: what the kernel says of it
 *      -ECONNREFUSED  no broker, or none to trust, at any of the addresses
 *      -ENOTCONN      not connected, or not any more; the reason is in baton_error()
 *      -EACCES        refused: by uid, by policy, by the permissions of a socket file
 *      -ETIMEDOUT     the time given has passed
 *      -EHOSTUNREACH  no responders
 *      -EPIPE         all responders went away without a reply
 *      -EINVAL        a topic, filter, header or argument is bad
 *      -EDQUOT        a limit of the broker, named in baton_error()
 *      -EAGAIN        non-blocking handle: would wait
 *      -ENOBUFS       the inbox is full, or what may be kept while the broker is away: dispatch
 *                     before you publish more
 *      -ECANCELED     the request was cancelled
 *      -ESTALE        the request is over, or was not yours to answer
 *      -ENOENT        no such subscription or request
 *      -EEXIST        a group with other options
 *      -EOPNOTSUPP    this broker does not do that
 *      -EMSGSIZE      too large
 *      -EBUSY         between baton_begin and baton_end; a socket that was used before
 *      -EPROTO        one side broke the protocol
 *      -ESHUTDOWN     the broker stops
 *      -EIO           the broker says that it failed, in a way this library does not know; the
 *                     payload of a reply cannot be read
 *      -ENOMEM        here or in the broker
 *
 * Blocking. A handle blocks unless baton_set_nonblocking() was called: publishing waits while the
 * broker is behind, and goes on receiving meanwhile. What arrives then is kept in the inbox and
 * dispatched by the next baton_wait or baton_process, so no callback runs inside a publish, and two
 * programs that feed each other cannot wait for each other. In an event loop use baton_fd,
 * baton_events, baton_timeout and baton_process, and make the handle non-blocking if the loop must
 * not wait for a broker that is behind.
 *
 * Bursts. A publication leaves at once. Those of a burst (several within some microseconds, and no
 * baton_process between them) are gathered into large packets, and leave when one is full, with the
 * next call that waits or processes, or within a millisecond: by themselves on a handle that
 * blocks, by baton_timeout on one that does not. What is gathered leaves before a fork, and when
 * the process ends by exit or by returning from main, if the broker takes it within a second
 * (baton_flush and baton_close tell whether it did); not when it ends by _exit or a signal, nor
 * what a callback has published that calls exit itself.
 *
 * The broker may go away. A handle that should come back to it, with its subscriptions, is told so
 * by baton_set_reconnect (baton_connection.h); without, the loss is an error like others.
 *
 * Callbacks run inside baton_process, hence inside baton_wait and inside the blocking calls that
 * wait for an answer, each of which says so. They may call everything, blocking calls too. Inside a
 * callback nothing more is dispatched, so messages never overtake each other: what arrives is kept,
 * as during a publish, and only what the inner call itself waits for reaches it. A blocking call
 * goes on after a signal, except baton_wait.
 *
 * Memory. What a callback is given is borrowed until it returns. Strings are UTF-8 and
 * NUL-terminated; payloads are bytes, and are not. Arguments are copied or used up before a call
 * returns.
 *
 * Threads. One handle, one thread; handles are independent. After fork() use it in one process
 * alone; the other leaves it as it is, or execs (its descriptor is close-on-exec). The connection
 * lasts as long as one of them has it open. */
#ifndef BATON_H
#define BATON_H

#include "baton_connection.h"
#include "baton_message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- the handle */

/* baton_new makes a handle that is not connected. Returns 0 · -ENOMEM. */
BATON_API BATON_MUST int baton_new(baton **ret_b);

/* baton_free sends what is gathered (a handle that blocks waits up to a second for a full socket),
 * and closes without more words (baton_close says good-bye first); safe inside a callback of
 * the handle. NULL is fine. Returns NULL. */
BATON_API baton *baton_free(baton *b);

/* baton_connect tries `addresses` in turn and takes the first with a broker that runs as root, as
 * this user, or as the uid that the address asks for (`?uid=`); nothing is sent to another. It
 * waits on non-blocking handles too. A handle that lost its broker may connect again: what was
 * received before is dispatched first, then its subscriptions are gone.
 *
 * addresses    comma-separated: "@name" (abstract), "/path" or "./path", with `seqpacket:`
 *              (default), `stream:` or `dgram:` in front. NULL: the socket that $BATON_FD numbers
 *              (baton_connect_fd), once; else $BATON_ADDRESS, else "@baton-UID", then
 *              $XDG_RUNTIME_DIR/baton.sock (root: /run/baton/baton.sock). Over `dgram:` one can
 *              publish without a connection, up to a frame a message, and nothing else
 *              (-EOPNOTSUPP): no answer comes, and what the broker has no room for is lost; a full
 *              socket is -EAGAIN at once, on blocking handles too, and then one polls for POLLOUT.
 * timeout_ms   for all of it; -1 = no limit.
 * Returns 0 · -ECONNREFUSED · -EACCES · -ETIMEDOUT · -EINVAL (address, $BATON_FD) · -EBUSY
 * ($BATON_FD was used before) · -EPROTO · -EISCONN · -ENOMEM. */
BATON_API BATON_MUST int baton_connect(baton *b, const char *addresses, int timeout_ms);

/* baton_connect_fd connects over a socket that is connected already: one end of a socketpair (of
 * type SOCK_SEQPACKET or SOCK_STREAM), the other end of which a broker was given with
 * `--client-fd`. It owns `fd` from now on, also when it fails, and trusts whoever made the pair.
 * Returns as baton_connect. */
BATON_API BATON_MUST int baton_connect_fd(baton *b, int fd, int timeout_ms);

/* baton_close sends everything, says good-bye (so that no will is published), and waits until the
 * broker has taken all of it. Messages that arrive meanwhile are dispatched. The handle is not
 * connected afterwards in any case. Returns 0 · -ETIMEDOUT · -ENOTCONN (lost before it was done).
 */
BATON_API BATON_MUST int baton_close(baton *b, int timeout_ms);

BATON_API bool baton_is_connected(const baton *b);

/* The last failure as a line for people, "" if none. Success does not clear it: read it after a
 * failure, before the next call. */
BATON_API const char *baton_error(const baton *b);

/* Its code (PROTOCOL.md part 9) if the broker reported it, else 0. */
BATON_API int baton_code(const baton *b);

/* ---------------------------------------------------------------- publishing */

/* baton_publish sends a message to whoever subscribed to `topic`. When it returns 0 the message is
 * on its way (given to the kernel, or gathered behind others that are); once baton_flush or
 * baton_close has returned 0 it reaches the broker, whatever becomes of this process.
 *
 * A payload may have any size up to the broker's limit payload_bytes (1 GiB); large ones see
 * baton_set_large. One that goes in chunks keeps a non-blocking handle busy: what could not be sent
 * at once is copied and sent by baton_process, and until then publishing is -EAGAIN.
 *
 * Returns 0 · -EINVAL · -EMSGSIZE · -EBUSY · -ENOTCONN · -EAGAIN (non-blocking) · -ENOBUFS ·
 * -ENOMEM; with descriptors also -EACCES (the session lacks the right) · -EDQUOT · -EBADF; with a
 * memfd -EMFILE and what else write(2) may say. */
BATON_API BATON_MUST int baton_publish(
        baton *b, const char *topic, const void *payload, size_t payload_len);

/* baton_publish_with: the same with headers, flags, ttl, descriptors. */
BATON_API BATON_MUST int baton_publish_with(baton *b, const struct baton_publication *p);

/* baton_publish_confirm: and `done` (may be NULL) is called with the number of clients whose queue
 * took it (0: nobody subscribed), or why not; in the order of publishing. That a queue took it
 * is not that it was received: what is queued is lost with a broker that is killed. Up to 65,536
 * answers of all kinds may be awaited at once, more are -ENOBUFS. */
BATON_API BATON_MUST int baton_publish_confirm(
        baton *b, const struct baton_publication *p, baton_done_fn done, void *arg);

/* baton_publish_wait waits for that answer and returns it: >= 0 clients, or a negative errno.
 * Dispatches meanwhile. */
BATON_API BATON_MUST int baton_publish_wait(
        baton *b, const struct baton_publication *p, int timeout_ms);

/* A payload written piece by piece, as it comes: of any size, and it need not fit the memory of
 * this process. baton_begin, then baton_write any number of times, then baton_end, which publishes
 * it as a whole; or baton_abandon, and it never was. In between this handle publishes nothing else
 * (-EBUSY); it may receive, subscribe and acknowledge.
 *
 * p      topic, headers, flags, ttl and descriptors; its payload is not used.
 * size   in bytes, if known, else 0. Other than what was written: baton_write (too much) or
 *        baton_end (too little) fails with -EINVAL. The broker's limit payload_bytes holds as well;
 *        and it gives up what nothing is written to for stall_ms (30 s).
 * done   as baton_publish_confirm; NULL: not confirmed.
 * Return as baton_publish_with. -EAGAIN of baton_write or baton_end changes nothing: call it again,
 * after the next baton_process. After any other failure of theirs it is abandoned; `done` is then
 * not called, unless the connection is lost. */
BATON_API BATON_MUST int baton_begin(
        baton *b, const struct baton_publication *p, uint64_t size, baton_done_fn done, void *arg);
BATON_API BATON_MUST int baton_write(baton *b, const void *data, size_t len);
BATON_API BATON_MUST int baton_end(baton *b);
BATON_API void baton_abandon(baton *b);

/* Between baton_cork and baton_uncork publications are gathered into full packets and sent only
 * when one is full; uncork sends the rest. Corks nest. Inside a callback the handle is corked. */
BATON_API void baton_cork(baton *b);
BATON_API BATON_MUST int baton_uncork(baton *b);

/* baton_flush gives everything gathered to the kernel. Returns 0 · -EAGAIN (non-blocking) ·
 * -ETIMEDOUT · -ENOTCONN · -ENOBUFS. */
BATON_API BATON_MUST int baton_flush(baton *b, int timeout_ms);

/* ---------------------------------------------------------------- subscribing */

enum baton_overflow {
        BATON_BLOCK, /* slow the publishers: nothing is lost */
        BATON_DROP_OLDEST,
        BATON_DROP_NEWEST,
        BATON_LATEST, /* one per topic */
        BATON_DISCONNECT,
};

/* Zero: a plain subscription. */
struct baton_subscription {
        uint32_t max_fds; /* messages with more descriptors come without */
        bool observer;    /* see everything, count as nobody: loggers, monitors */
        enum baton_overflow overflow;
        uint64_t queue_bytes, queue_messages; /* 0: the broker's */
        const char *group;                    /* share the work with the other members */
        uint32_t window;         /* messages under way to this client; 0: none, groups 16 */
        bool ack;                /* group: acknowledge each, when the callback has returned */
        uint32_t ack_ms;         /* ack: the first unacknowledged for so long; 0: 30,000 */
        uint32_t max_deliveries; /* ack: failed so often it goes to `$sys.dead`; 0: 5 */
        bool no_retained;        /* not the last values from before */
        bool hold; /* messages count until baton_release, or with `ack` until baton_ack or
                    * baton_nack, not until the callback ends */
        const void *reserved[4];
};

/* baton_subscribe subscribes to `filter` (a topic in which `*` stands for one token and a final
 * `>` for one or more) and waits until the broker has confirmed it. `fn` is called for every
 * match. Messages of earlier subscriptions are dispatched meanwhile.
 *
 * options   NULL: a plain one.
 * ret_sub   its number, for baton_unsubscribe; may be NULL.
 * Returns 0 · -EINVAL · -EACCES · -EDQUOT · -EOPNOTSUPP · -ENOTCONN · -ETIMEDOUT (30 s) · -ENOMEM.
 */
BATON_API BATON_MUST int baton_subscribe(baton *b, const char *filter,
        const struct baton_subscription *options, baton_message_fn fn, void *arg,
        uint32_t *ret_sub);

/* baton_subscribe_start does not wait; `done` (may be NULL) is called with the broker's answer: the
 * overflow policy in force (enum baton_overflow), or why not. */
BATON_API BATON_MUST int baton_subscribe_start(baton *b, const char *filter,
        const struct baton_subscription *options, baton_message_fn fn, baton_done_fn done,
        void *arg, uint32_t *ret_sub);

/* baton_unsubscribe: `fn` is not called any more from this moment on. Does not wait. Safe inside
 * any callback. Returns 0 · -ENOENT · -ENOTCONN · -ENOMEM. */
BATON_API BATON_MUST int baton_unsubscribe(baton *b, uint32_t sub);

/* baton_release gives back the place in the window that one message of `sub` has, a subscription
 * with `hold`: the work it meant is done, and the broker may send the next one. May be called in
 * the callback or later, once for each message, in any order; does not wait. After BATON_LOST
 * nothing is held any more: what came before is not to be released.
 * Returns 0 · -ENOENT (no such subscription, or nothing is held) · -EINVAL (it acknowledges). */
BATON_API BATON_MUST int baton_release(baton *b, uint32_t sub);

/* A group with `ack` keeps each message until a member has acknowledged it. What a member has not,
 * when it ends, refuses it, or does not answer the first of what it has within ack_ms (a day at
 * most), is delivered to another (baton_message.redelivered counts). So a message may be worked on
 * twice, but is not lost with a worker. What has failed max_deliveries times, refused or first at a
 * member that died or was late, goes to `$sys.dead`.
 *
 * baton_ack says that the message with this receipt (baton_message.receipt) is done; baton_nack
 * that it is not, and that another member, or this one, shall have it, in `delay_ms` (up to a day).
 * The return of the callback acknowledges, before the next one is called (and so do
 * baton_unsubscribe and baton_close within it, but not baton_free); a callback that calls
 * baton_nack refuses instead. With `hold` nothing is acknowledged by itself, and they are called
 * later, in any order. Neither waits. What was answered before is ignored.
 * Returns 0 · -ENOENT (no receipt of this connection: the message has gone to another member) ·
 * -ENOTCONN · -ENOMEM. */
BATON_API BATON_MUST int baton_ack(baton *b, uint64_t receipt);
BATON_API BATON_MUST int baton_nack(baton *b, uint64_t receipt, uint32_t delay_ms);

/* ---------------------------------------------------------------- requests */

/* baton_request sends `p` to those who serve its topic and waits: `reply` is called for each
 * reply, the last one has `more` unset. Dispatches other messages meanwhile.
 *
 * p            no flags, no ttl.
 * reply        may be NULL, as everywhere.
 * timeout_ms   0: 30 s; -1: the protocol's longest, a day. Should the broker not keep to it, the
 *              library ends the request 1 s later.
 * Returns 0 (also when the responder said `failed`) · -EHOSTUNREACH · -EPIPE · -ETIMEDOUT · as
 * baton_publish. */
BATON_API BATON_MUST int baton_request(baton *b, const struct baton_publication *p, int timeout_ms,
        baton_message_fn reply, void *arg);

/* baton_request_start does not wait: `reply` for each reply, then `done` once. `*ret_id` (may be
 * NULL) is for baton_cancel. */
BATON_API BATON_MUST int baton_request_start(baton *b, const struct baton_publication *p,
        int timeout_ms, baton_message_fn reply, baton_done_fn done, void *arg, uint64_t *ret_id);

/* baton_cancel ends a request: its `done` is called with -ECANCELED, in the next baton_process.
 * Returns 0 · -ENOENT. */
BATON_API BATON_MUST int baton_cancel(baton *b, uint64_t id);

/* baton_reply answers the request that carried `token` (baton_message.token); it may be called
 * later than in the callback. With BATON_MORE in p->flags others follow. Returns as
 * baton_publish_with. */
BATON_API BATON_MUST int baton_reply(baton *b, uint64_t token, const void *payload, size_t len);
BATON_API BATON_MUST int baton_reply_with(
        baton *b, uint64_t token, const struct baton_publication *p);

/* ---------------------------------------------------------------- waiting */

/* baton_wait waits for something to happen, at most `timeout_ms` (-1: for ever), and dispatches
 * it. Returns the number of messages dispatched (0: the time has passed, or only answers came) ·
 * -ENOTCONN · -EPROTO · -EINTR (a signal) · -ENOMEM. The loss of the connection is told when what
 * came before it has been dispatched. */
BATON_API BATON_MUST int baton_wait(baton *b, int timeout_ms);

/* For event loops: poll `baton_fd` for `baton_events` (POLLIN, POLLOUT; may change with every
 * call), at most `baton_timeout` ms (-1: no limit, 0: there is work already), then call
 * baton_process, which never waits and dispatches what there is, up to a fair share. Returns as
 * baton_wait.
 *
 * baton_fd is -1 while there is nothing to poll. It becomes -1 within any call that finds the
 * connection lost, and another descriptor within baton_process (and the calls that wait) only,
 * never in the same turn; so who registers it, as with epoll, compares it after each baton_process
 * and misses nothing. The old one is closed by then: forget it. Ask baton_events and baton_timeout
 * right before each sleep. */
BATON_API int baton_fd(const baton *b);
BATON_API short baton_events(const baton *b);
BATON_API int baton_timeout(const baton *b);
BATON_API BATON_MUST int baton_process(baton *b);

/* For adapters of event loops: `fn` is called by baton_free, first of all, so that whoever polls
 * for the handle lets go of it. It must not use the handle. NULL: nobody does any more. */
typedef void (*baton_freed_fn)(baton *b, void *arg);
BATON_API void baton_set_freed(baton *b, baton_freed_fn fn, void *arg);

/* baton_ping waits until the broker has read everything sent before (baton_publish_wait: until a
 * publication is admitted). Dispatches meanwhile. Returns 0 · -ETIMEDOUT · -ENOTCONN. */
BATON_API BATON_MUST int baton_ping(baton *b, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
