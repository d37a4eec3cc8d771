/* Design note. The status report, as JSON, so that a person with `request '$sys.status'` reads it
 * and a script parses it. It must fit one frame: when there are many sessions, those with the
 * largest backlog are listed, for they are the ones somebody is looking for. */
#include "broker/core/internal.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* 96 sessions of at most 450 bytes each, 32 uids of 360, 49 refusals of 130, and the counts, are
 * under WIRE_FRAME_BYTES. */
enum { REPORT_SESSIONS = 96, REPORT_UIDS = 32 };

/* Names of sessions are plain text (checked at HELLO), and quotes and backslashes are all that JSON
 * minds in them; the path of a policy may be anything. */
int report_string(struct buf *out, const char *text)
{
        bool is_plain = text_is_plain(text, strlen(text));
        int r = buf_push(out, "\"", 1);

        for (; *text && r == 0; text++) {
                if (*text == '"' || *text == '\\')
                        r = buf_push(out, "\\", 1);
                if (r == 0)
                        r = buf_push(
                                out, is_plain || (*text >= ' ' && *text <= '~') ? text : "?", 1);
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
                c->count.parked, c->count.parked_bytes, c->count.dropped, c->bus.used[QUOTA_FDS],
                c->bus.used[QUOTA_FLIGHT_FDS], c->count.placed_bytes,
                c->bus.used[QUOTA_SPOOL_BYTES], c->count.datagrams, c->count.datagrams_refused,
                c->count.unacked, c->count.returned, c->count.dead);
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

static int put_refusals(const struct core *c, struct buf *out)
{
        const struct refusal_count *count;
        const char *name, *before = "";
        int r = buf_printf(out, ",\"refusals\":[");

        for (size_t i = 0; r == 0 && (count = refusal_count_at(c, i, &name)); i++) {
                if (!count->n)
                        continue;
                r = buf_printf(out,
                        "%s{\"limit\":\"%s\",\"count\":%" PRIu64 ",\"worst\":{\"uid\":%" PRIu32
                        ",\"pid\":%" PRId32 ",\"count\":%" PRIu64 "}}",
                        before, name, count->n, count->worst.uid, count->worst.pid, count->most);
                before = ",";
        }
        return r < 0 ? r : buf_printf(out, "]");
}

static int put_uid(const struct uid_account *u, bool is_first, struct buf *out)
{
        int r = buf_printf(out, "%s{\"uid\":%" PRIu32, is_first ? "" : ",", u->uid);

        for (int i = 0; i < QUOTA_CONNECTS && r == 0; i++)
                r = buf_printf(out, ",\"%s\":%" PRIu64, policy_quota_name((enum policy_quota)i) + 4,
                        u->account.used[i]);
        return r < 0 ? r : buf_printf(out, "}");
}

/* The uids that have something here, as they come. */
static int put_uids(const struct core *c, struct buf *out)
{
        int r = buf_printf(out, ",\"uids\":[");
        size_t n = 0;

        for (size_t i = 0; i < c->uids.cap; i++) {
                for (const struct map_node *at = c->uids.slots[i]; at; at = at->next) {
                        const struct uid_account *u =
                                container_of(at, const struct uid_account, by_uid);
                        if (list_is_linked(&u->idle) || r < 0)
                                continue;
                        if (n < REPORT_UIDS)
                                r = put_uid(u, n == 0, out);
                        n++;
                }
        }
        return r < 0 ? r
                     : buf_printf(out, "],\"uids_omitted\":%zu",
                               n > REPORT_UIDS ? n - REPORT_UIDS : 0);
}

int core_report(const struct core *c, uint64_t now_ns, struct buf *out)
{
        int r = put_broker(c, now_ns, out);

        if (r == 0)
                r = put_counts(c, out);
        if (r == 0)
                r = put_refusals(c, out);
        if (r == 0)
                r = put_uids(c, out);
        if (r == 0)
                r = put_clients(c, out);
        return r;
}
