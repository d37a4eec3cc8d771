/* handle.h - the inside of a handle: what the files of the client share. Private to this room.
 *
 *      publish, request, subscribe   what the application asks for
 *            |                             ^ callbacks
 *           ops (who waits for which answer), subs (who gets what)
 *            |                             ^
 *           post (its frame, its cost)    view, assemble (a packet, chunks)
 *            |                             ^
 *           out (frames gathered), large  in (frames received), the queue
 *            `------------- link ----------'
 *
 * The queue. What cannot be dispatched when it arrives is kept in one queue, in the order of
 * arrival: packets, and operations that have ended. Only the outermost baton_process takes from it.
 */
#ifndef BATON_CLIENT_HANDLE_H
#define BATON_CLIENT_HANDLE_H

#include "client/in.h"
#include "client/large.h"
#include "client/ops.h"
#include "client/out.h"
#include "client/subs.h"

#include "proto/link/cred.h"
#include "proto/link/link.h"

enum {
        /* Bytes of baton_error()'s line: several addresses with their reasons. */
        HANDLE_TEXT_BYTES = 1024,
        /* Milliseconds a request outlives its deadline here: the broker answers first. */
        HANDLE_GRACE_MS = 1000,
        /* Milliseconds between tries while the kernel lacks memory for a packet. */
        HANDLE_STARVED_MS = 10,
};

struct facts {
        char address[256];
        uint64_t session, rights, features;
        uint64_t window;        /* as WELCOME said it */
        int64_t missed;         /* of the session before; -1: not known */
        uint64_t payload_bytes; /* the largest payload that may be sent */
        uint8_t instance[WIRE_INSTANCE_BYTES];
        struct cred broker;
        size_t n_limits;
        struct {
                char name[48];
                uint64_t value;
        } limits[MSG_WELCOME_LIMITS];
};

struct address;
struct dgram;
struct join;
struct stay;

struct baton {
        struct link *link;     /* NULL: not connected */
        struct dgram *dgram;   /* or publishing without a connection */
        struct join *join;     /* on the way to one of them; NULL: not trying */
        struct stay *stay;     /* baton_set_reconnect; NULL: a loss is final */
        struct address *where; /* [n_where] the addresses of the latest connection */
        size_t n_where;
        bool leaving; /* BYE was sent */
        bool nonblocking, no_echo;
        bool dispatching;  /* a callback may be running: dispatch nothing more */
        bool freed;        /* baton_free was called; the memory lives while `busy` */
        bool said_bye;     /* the broker did */
        unsigned busy;     /* calls under way that run callbacks */
        unsigned epoch;    /* changes with each connection, and when the handle is freed */
        uint64_t progress; /* callbacks called, other than for publications */

        struct list queue;  /* struct item */
        size_t large_bytes; /* baton_set_large */
        struct large large;
        struct out out;
        struct in in;
        struct ops ops;
        struct map subs;
        struct list sub_order; /* struct sub: as they were made */
        struct sub *last_sub;  /* the one found last; NULL: none */
        uint32_t next_sub;
        struct buf scratch; /* encoded headers of the publication being sent */
        struct buf frame;   /* the header or control frame being sent */
        struct facts facts;
        char name[WIRE_NAME_BYTES + 1];

        baton_log_fn log;
        void *log_arg;
        baton_gap_fn gap;
        void *gap_arg;
        baton_freed_fn on_freed;
        void *on_freed_arg;

        int loss; /* to be reported by the next baton_process; 0: reported */
        unsigned loss_code;
        unsigned code;
        char loss_text[HANDLE_TEXT_BYTES];
        char error[HANDLE_TEXT_BYTES];
};

/* handle_adopt_link connects the handle to a broker at the other end of `link`, which it owns from
 * now on, also when it fails: HELLO, WELCOME. Returns as baton_connect. */
BT_MUST int handle_adopt_link(baton *b, struct link *link, const char *address, int timeout_ms);

/* handle_fail notes why a call fails, and returns `error`. handle_fail_code: as the broker said. */
int handle_fail(struct baton *b, int error, const char *format, ...) BT_PRINTF(3, 4);
int handle_fail_code(struct baton *b, int error, unsigned code, const char *text);

/* handle_fail_here does so with the address of the broker before it. handle_fail_op: as the broker
 * said to a call that waited. */
int handle_fail_here(struct baton *b, int error, const char *format, ...) BT_PRINTF(3, 4);
int handle_fail_op(struct baton *b, const struct waiter *w);

/* handle_check: connected, or -ENOTCONN with the reason. handle_check_sending: or it is now, having
 * come back; handle_check_publishing: or it may be kept until it is; handle_check_subscribing: or
 * subscriptions are made when it is. */
BT_MUST int handle_check(struct baton *b);
BT_MUST int handle_check_sending(struct baton *b);
BT_MUST int handle_check_publishing(struct baton *b);
BT_MUST int handle_check_subscribing(struct baton *b);

void handle_log(struct baton *b, const char *format, ...) BT_PRINTF(2, 3);

/* handle_enter and handle_leave stand around all that may run callbacks. In between the handle is
 * corked, and its memory stays although a callback frees it. handle_leave returns `result`, or
 * -ENOTCONN if the handle is gone, which the caller must not touch any more then. */
void handle_enter(struct baton *b);
int handle_leave(struct baton *b, int result);

/* handle_lose ends the connection: what is pending ends with -ENOTCONN, but for what a handle that
 * stays connected takes over. Without a connection it does nothing. */
void handle_lose(struct baton *b, int error, unsigned code, const char *format, ...)
        BT_PRINTF(4, 5);

/* handle_doze sleeps until something is to be done, at most until `deadline_ns`. Returns 0 · -EINTR
 * · -errno. */
BT_MUST int handle_doze(struct baton *b, uint64_t deadline_ns);

/* handle_await waits until something comes, or can be sent, and receives it. A call that waits for
 * room (`dispatch` unset) has found the socket full just now, and has what comes put into the
 * queue. One that waits for an answer sends what is gathered first, and dispatches what comes
 * unless it is inside a callback. Returns 0 · -ETIMEDOUT · -ENOTCONN · -ENOBUFS · -ENOMEM. */
BT_MUST int handle_await(struct baton *b, uint64_t deadline_ns, bool dispatch);

/* handle_await_op waits for the end of the operation whose waiter is `w`, and returns its result.
 * When it fails otherwise the operation has been dropped. */
BT_MUST int handle_await_op(struct baton *b, struct op *op, struct waiter *w, uint64_t deadline_ns);

/* handle_drop_packets empties the queue of packets; what has ended stays in it. */
void handle_drop_packets(struct baton *b);

uint64_t clock_ns(void);
uint64_t clock_deadline(int timeout_ms); /* -1: UINT64_MAX */
int clock_left_ms(uint64_t deadline_ns); /* rounded up; -1: for ever */

/* ---------------------------------------------------------------- the rest */

/* facts_largest is the largest payload that the broker lets through to this session. */
static inline uint64_t facts_largest(const struct facts *f)
{
        return f->payload_bytes > WIRE_FRAME_BYTES ? f->payload_bytes : LIMIT_PAYLOAD_BYTES;
}

/* publish_prepare checks a publication and makes a post of it, which borrows from it and from the
 * handle. Returns 0 · -EINVAL · -ENOMEM. */
BT_MUST int publish_prepare(
        struct baton *b, const struct baton_publication *p, struct post *ret_post);

/* headers_of_user checks and encodes headers into `b->scratch`, to which `*ret_map` then points.
 * Returns 0 · -EINVAL · -ENOMEM. */
BT_MUST int headers_of_user(
        struct baton *b, const struct baton_header *headers, size_t n, struct slice *ret_map);

/* datagram_post sends a publication without a connection. Returns 0 · -EAGAIN · -ENOTCONN ·
 * -EMSGSIZE · -EOPNOTSUPP a datagram cannot do that · -ENOMEM · -errno. */
BT_MUST int datagram_post(struct baton *b, struct post *p);

/* request_post sends `p` as a request that `op` waits for, with `timeout_ms` for the broker.
 * Returns as post_publication. */
BT_MUST int request_post(struct baton *b, const struct baton_publication *p, struct op *op,
        uint64_t timeout_ms, uint64_t deadline_ns);

/* request_cancel tells the broker that a request is over. */
void request_cancel(struct baton *b, uint64_t id);

/* code_errno gives the negative errno of a code of PROTOCOL.md part 9. */
int code_errno(uint64_t code);

/* code_text writes what ERR or BYE said as a line for people. */
void code_text(const struct msg_verdict *v, char text[WIRE_TEXT_BYTES + 1]);

/* code_gap_reason names the reason of a GAP. */
const char *code_gap_reason(uint64_t reason);

#endif
