/* Design note. The status report, as JSON, so that a person with `request '$sys.status'` reads it
 * and a script parses it. It must fit one frame: when there are many sessions, those with the
 * largest backlog are listed, for they are the ones somebody is looking for. */
#include "broker/core/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* 128 sessions of at most 450 bytes each, and the counts, are under WIRE_FRAME_BYTES. */
enum { REPORT_SESSIONS = 128 };

/* Names are plain text (checked at HELLO); quotes and backslashes are all that JSON minds in them.
 */
int report_string(struct buf *out, const char *text)
{
        int r = buf_push(out, "\"", 1);

        for (; *text && r == 0; text++) {
                if (*text == '"' || *text == '\\')
                        r = buf_push(out, "\\", 1);
                if (r == 0)
                        r = buf_push(out, text, 1);
        }
        return r < 0 ? r : buf_push(out, "\"", 1);
}

static int put_broker(const struct core *c, uint64_t now_ns, struct buf *out)
{
        const struct core_config *config = &c->config;
        int r = buf_printf(out, "{\"broker\":{\"version\":");

        if (r == 0)
                r = report_string(out, config->name);
        if (r == 0)
                r = buf_printf(out, ",\"instance\":\"");
        for (size_t i = 0; i < sizeof(config->instance) && r == 0; i++)
                r = buf_printf(out, "%02x", config->instance[i]);
        if (r < 0)
                return r;
        return buf_printf(out,
                "\",\"pid\":%" PRId32 ",\"uid\":%" PRIu32 ",\"uptime_ms\":%" PRIu64 "}",
                config->self.pid, config->self.uid, (now_ns - c->started_ns) / 1000000);
}

static int put_counts(const struct core *c, struct buf *out)
{
        return buf_printf(out,
                ",\"sessions\":%zu,\"subscriptions\":%zu,\"topics\":%zu,\"requests\":%zu"
                ",\"published\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"unrouted\":%" PRIu64
                ",\"refused\":%" PRIu64 ",\"refused_sessions\":%" PRIu64 ",\"discarded\":%" PRIu64
                ",\"queued\":%" PRIu64 ",\"queued_bytes\":%" PRIu64 ",\"waiting\":%" PRIu64
                ",\"parked\":%" PRIu64 ",\"parked_bytes\":%" PRIu64 ",\"dropped\":%" PRIu64
                ",\"descriptors\":%" PRIu64 ",\"descriptors_in_flight\":%" PRIu64
                ",\"placed_bytes\":%" PRIu64 ",\"spooled_bytes\":%" PRIu64 ",\"datagrams\":%" PRIu64
                ",\"datagrams_refused\":%" PRIu64 ",\"unacknowledged\":%" PRIu64
                ",\"returned\":%" PRIu64 ",\"dead\":%" PRIu64,
                c->n_sessions, c->n_subs, c->routes.n, c->requests.n, c->count.published,
                c->count.delivered, c->count.unrouted, c->count.refused, c->count.refused_sessions,
                c->count.discarded, c->count.queued, c->count.queued_bytes, c->count.pooled,
                c->count.parked, c->count.parked_bytes, c->count.dropped, c->count.held_fds,
                c->flight_fds, c->count.placed_bytes, c->count.spool_bytes, c->count.datagrams,
                c->count.datagrams_refused, c->count.unacked, c->count.returned, c->count.dead);
}

static const char *state_name(const struct session *s)
{
        switch (s->state) {
        case SESSION_HELLO:
                return "connected";
        case SESSION_OPEN:
                return "open";
        case SESSION_LEAVING:
                return "leaving";
        default:
                return "ending";
        }
}

static int put_session(const struct session *s, bool is_first, struct buf *out)
{
        int r = buf_printf(
                out, "%s{\"session\":%" PRIu64 ",\"name\":", is_first ? "" : ",", s->number);

        if (r == 0)
                r = report_string(out, s->name);
        if (r < 0)
                return r;
        return buf_printf(out,
                ",\"state\":\"%s\",\"pid\":%" PRId32 ",\"uid\":%" PRIu32 ",\"gid\":%" PRIu32
                ",\"subscriptions\":%zu,\"published\":%" PRIu64 ",\"delivered\":%" PRIu64
                ",\"queued\":%" PRIu64 ",\"queued_bytes\":%" PRIu64 ",\"parked_bytes\":%" PRIu64
                ",\"requests\":%zu}",
                state_name(s), s->peer.pid, s->peer.uid, s->peer.gid, s->subs.n, s->published,
                s->delivered, s->queue_messages, s->queue_bytes, s->parked_bytes, s->requests.n);
}

static int by_backlog(const void *a, const void *b)
{
        const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;
        uint64_t load_x = x->queue_bytes + x->parked_bytes;
        uint64_t load_y = y->queue_bytes + y->parked_bytes;

        if (load_x != load_y)
                return load_x > load_y ? -1 : 1;
        return x->number < y->number ? -1 : 1;
}

static int put_clients(const struct core *c, struct buf *out)
{
        struct session **all = malloc((c->n_sessions + 1) * sizeof(struct session *));
        size_t n = 0, listed = 0;

        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_slots; i++) {
                if (c->slots[i])
                        all[n++] = c->slots[i];
        }
        qsort(all, n, sizeof(struct session *), by_backlog);
        int r = buf_printf(out, ",\"clients\":[");
        for (; r == 0 && listed < size_min(n, REPORT_SESSIONS); listed++)
                r = put_session(all[listed], listed == 0, out);
        free(all);
        if (r < 0)
                return r;
        return buf_printf(out, "],\"clients_omitted\":%zu}", n - listed);
}

int core_report(const struct core *c, uint64_t now_ns, struct buf *out)
{
        int r = put_broker(c, now_ns, out);

        if (r == 0)
                r = put_counts(c, out);
        if (r == 0)
                r = put_clients(c, out);
        return r;
}
