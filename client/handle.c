/* Design note. A handle may be freed by a callback that the handle itself is calling. So everything
 * that can run callbacks stands between handle_enter and handle_leave, baton_free only marks the
 * handle while such a call is under way, and the last handle_leave releases the memory. Whoever
 * called a callback looks at `freed` before it goes on; it never looks at anything else then.
 *
 * The loss of the connection is an event like others: it ends what is pending by way of the queue,
 * so the callbacks run in the next baton_process, behind the messages that came before the loss. */
#include "client/handle.h"

#include "client/connect.h"
#include "client/kept.h"
#include "client/stay.h"

#include "proto/link/dgram.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int baton_new(baton **ret_b)
{
        struct baton *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        list_init(&b->queue);
        list_init(&b->ops.pending);
        list_init(&b->ops.spare);
        list_init(&b->sub_order);
        b->ops.next_id = 1;
        b->next_sub = 1;
        b->out.topic = &b->out.topics[0];
        b->in.limit_bytes = CLIENT_INBOX_BYTES;
        *ret_b = b;
        return 0;
}

void handle_drop_packets(struct baton *b)
{
        b->in.stored_bytes = b->in.stored_fds = 0;
        list_for_each_safe (it, &b->queue) {
                struct item *item = list_entry(it, struct item, link);
                if (!item->is_packet)
                        continue;
                list_remove(it);
                packet_free(container_of(item, struct packet, item));
        }
}

static void release(struct baton *b)
{
        b->in.packet = packet_free(b->in.packet);
        assembly_deinit(&b->in.assembly);
        b->dgram = dgram_free(b->dgram);
        flusher_leave(b);
        out_deinit(&b->out);
        ops_deinit(b);
        subs_clear(b);
        free(b->where);
        map_deinit(&b->subs);
        buf_deinit(&b->scratch);
        buf_deinit(&b->frame);
        free(b);
}

/* What is gathered, and fits no full socket: a handle that blocks waits a while for it. */
static void send_last(struct baton *b)
{
        uint64_t deadline_ns = clock_deadline(FLUSHER_EXIT_MS);
        bool may_wait = !b->nonblocking && !b->dispatching;

        while (out_push(b) == 0 && may_wait && !out_is_sent(b)) {
                if (link_wait(b->link, POLLOUT, clock_left_ms(deadline_ns)) != 0)
                        break;
        }
}

baton *baton_free(baton *b)
{
        if (!b || b->freed)
                return NULL;
        if (b->on_freed)
                b->on_freed(b, b->on_freed_arg);
        handle_enter(b);
        if (b->link) {
                send_last(b);
                b->leaving = true;
                handle_lose(b, -ENOTCONN, 0, "the handle was freed");
        }
        b->freed = true;
        b->epoch++;
        handle_drop_packets(b);
        struct verdict v = {-ENOTCONN, 0, "the handle was freed"};
        join_end(b, &v);
        stay_deinit(b);
        ops_end_all(b, &v);
        for (struct list *it; (it = list_first(&b->queue));) {
                list_remove(it);
                op_finish(b, container_of(list_entry(it, struct item, link), struct op, item));
        }
        (void)handle_leave(b, 0);
        return NULL;
}

void handle_enter(struct baton *b)
{
        out_hold(b);
        b->busy++;
        b->out.cork++;
}

int handle_leave(struct baton *b, int result)
{
        b->out.cork--;
        if (!b->freed && b->link) {
                /* If it fails the next baton_process says so, behind what is due before. */
                int r = out_kick(b);
                (void)r;
        }
        bool freed = b->freed;
        if (--b->busy == 0 && freed)
                release(b);
        return freed ? -ENOTCONN : b->busy ? result : out_part(b, result);
}

static void BT_PRINTF(2, 0) note(char text[HANDLE_TEXT_BYTES], const char *format, va_list args)
{
        char line[HANDLE_TEXT_BYTES]; /* an argument may be `text` itself */

        vsnprintf(line, sizeof(line), format, args);
        memcpy(text, line, sizeof(line));
}

int handle_fail(struct baton *b, int error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        note(b->error, format, args);
        va_end(args);
        b->code = 0;
        return error;
}

int handle_fail_code(struct baton *b, int error, unsigned code, const char *text)
{
        (void)handle_fail(b, error, "%s", text);
        b->code = code;
        return error;
}

int handle_fail_here(struct baton *b, int error, const char *format, ...)
{
        char why[HANDLE_TEXT_BYTES - sizeof(b->facts.address) - 2];
        va_list args;

        va_start(args, format);
        vsnprintf(why, sizeof(why), format, args);
        va_end(args);
        if (!b->facts.address[0])
                return handle_fail(b, error, "%s", why);
        return handle_fail(b, error, "%s: %s", b->facts.address, why);
}

int handle_fail_op(struct baton *b, const struct waiter *w)
{
        /* A loss names the address itself. */
        bool has_address = w->result == -ENOTCONN || !b->facts.address[0];

        if (has_address)
                return handle_fail_code(b, w->result, w->code, w->text);
        (void)handle_fail_here(b, w->result, "%s", w->text);
        b->code = w->code;
        return w->result;
}

static int fail_unconnected(struct baton *b)
{
        const char *why = b->loss_text[0] ? b->loss_text
                          : b->join ? "still connecting, and nothing is kept meanwhile (keep_bytes)"
                                    : "not connected: baton_connect comes first";

        if (!b->stay || !b->join || !b->loss_text[0])
                return handle_fail_code(b, -ENOTCONN, b->loss_code, why);
        (void)handle_fail(b, -ENOTCONN, "%s; trying to come back", why);
        b->code = b->loss_code;
        return -ENOTCONN;
}

int handle_check_sending(struct baton *b)
{
        if (bt_unlikely(b->stay && !b->link && !b->dgram))
                stay_come_back(b);
        return handle_check(b);
}

int handle_check_publishing(struct baton *b)
{
        return kept_is_taking(b) ? 0 : handle_check_sending(b);
}

int handle_check_subscribing(struct baton *b)
{
        return baton_is_away(b) ? 0 : handle_check(b);
}

int handle_check(struct baton *b)
{
        if (bt_unlikely(b->dgram))
                return handle_fail(b, -EOPNOTSUPP,
                        "%s: publishing only: no answer comes back over dgram:", b->facts.address);
        if (bt_unlikely(!b->link))
                return fail_unconnected(b);
        if (bt_unlikely(b->leaving))
                return handle_fail(b, -ENOTCONN, "%s: closing", b->facts.address);
        if (bt_unlikely(b->out.broken))
                return handle_fail(b, -ENOTCONN, "%s: the broker reads no more", b->facts.address);
        return 0;
}

void handle_log(struct baton *b, const char *format, ...)
{
        char line[HANDLE_TEXT_BYTES];
        va_list args;

        if (!b->log)
                return;
        va_start(args, format);
        note(line, format, args);
        va_end(args);
        b->log(line, b->log_arg);
}

void handle_lose(struct baton *b, int error, unsigned code, const char *format, ...)
{
        char why[HANDLE_TEXT_BYTES - sizeof(b->facts.address) - 2];
        va_list args;

        if (!b->link && !b->dgram)
                return;
        va_start(args, format);
        vsnprintf(why, sizeof(why), format, args);
        va_end(args);
        snprintf(b->loss_text, sizeof(b->loss_text), "%s: %s", b->facts.address, why);
        b->loss_code = code;
        b->link = link_free(b->link);
        b->dgram = dgram_free(b->dgram);
        bool stays = stay_lose(b, error, code);
        if (!b->out.sealed)
                out_drop(&b->out);
        if (stays)
                return;
        b->loss = error;
        struct verdict v = {-ENOTCONN, code, b->loss_text};
        ops_end_all(b, &v);
        large_lose(b, &v);
}

int baton_set_name(baton *b, const char *name)
{
        size_t len = strlen(name);

        if (len > WIRE_NAME_BYTES || !text_is_plain(name, len))
                return handle_fail(
                        b, -EINVAL, "name: at most %d bytes of plain text", WIRE_NAME_BYTES);
        memcpy(b->name, name, len + 1);
        return 0;
}

void baton_set_nonblocking(baton *b, bool on)
{
        out_hold(b);
        b->nonblocking = on;
        /* It is another one now who sends what is gathered. */
        int r = out_part(b, 0);
        (void)r;
}

void baton_set_no_echo(baton *b, bool on)
{
        b->no_echo = on;
}

void baton_set_inbox(baton *b, size_t bytes)
{
        b->in.limit_bytes = bytes;
}

void baton_set_log(baton *b, baton_log_fn fn, void *arg)
{
        b->log = fn;
        b->log_arg = arg;
}

void baton_set_gap(baton *b, baton_gap_fn fn, void *arg)
{
        b->gap = fn;
        b->gap_arg = arg;
}

void baton_set_freed(baton *b, baton_freed_fn fn, void *arg)
{
        b->on_freed = fn;
        b->on_freed_arg = arg;
}

bool baton_is_connected(const baton *b)
{
        return (b->link && !b->leaving) || b->dgram;
}

const char *baton_error(const baton *b)
{
        return b->error;
}

int baton_code(const baton *b)
{
        return (int)b->code;
}

const char *baton_address(const baton *b)
{
        return b->facts.address;
}

uint64_t baton_session(const baton *b)
{
        return b->facts.session;
}

const uint8_t *baton_instance(const baton *b)
{
        return b->facts.instance;
}

uint64_t baton_rights(const baton *b)
{
        return b->facts.rights;
}

struct baton_sender baton_broker(const baton *b)
{
        const struct cred *c = &b->facts.broker;

        return (struct baton_sender){.pid = c->pid, .uid = c->uid, .gid = c->gid};
}

uint64_t baton_limit(const baton *b, const char *name)
{
        for (size_t i = 0; i < b->facts.n_limits; i++) {
                if (!strcmp(b->facts.limits[i].name, name))
                        return b->facts.limits[i].value;
        }
        return 0;
}
