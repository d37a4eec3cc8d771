/* Design note. What has failed too often is published to `$sys.dead`: the same payload, descriptors
 * and sender, with the headers `$topic`, `$group` and `$deliveries` beside its own. It never waits,
 * like all that the broker publishes: who has no room is told of a gap.
 *
 * With these headers it may be too long for a frame; then its payload goes to the store, and it
 * is placed. Descriptors are shared with the publication that failed, except then: a set does not
 * change, so a new one has copies. What fails on `$sys.dead` itself is only counted. */
#include "broker/core/pool.h"
#include "broker/core/routing.h"
#include "proto/wire/headers.h"

#include <errno.h>
#include <string.h>

static const char DEAD[] = "$sys.dead";

enum {
        /* Keys and heads of the broker's headers, and the map's own head, are no longer. */
        MORE_HEADERS_BYTES = 64,
};

static struct header text_header(const char *key, const uint8_t *text, size_t len)
{
        return (struct header){
                .key = slice_of(key), .kind = HEADER_STR, .value.bytes = {text, len}};
}

static struct header number_header(const char *key, uint64_t n)
{
        return (struct header){.key = slice_of(key), .kind = HEADER_UINT, .value.u = n};
}

/* The broker's say where it failed and how often it was delivered; then come its own, which were
 * checked, or how many those were, if there is no room for all. */
static int put_headers(const struct pool_entry *e, const struct msg_pub *pub, struct buf *out)
{
        struct header all[WIRE_HEADER_ENTRIES];
        struct reader r = {pub->headers.data, pub->headers.data + pub->headers.len};
        const struct msg *m = e->msg;
        uint32_t n_own = 0;
        size_t n = 0;

        all[n++] = text_header("$topic", m->data + m->topic_at, m->topic_len);
        all[n++] = text_header("$group", e->pool->text, e->pool->name_len);
        all[n++] = number_header("$deliveries", e->n_sent);
        if (pub->n_headers && read_map(&r, &n_own))
                return -EPROTO;
        size_t len = pub->headers.len + m->topic_len + e->pool->name_len + MORE_HEADERS_BYTES;
        if (n + n_own > WIRE_HEADER_ENTRIES || len > WIRE_HEADER_BYTES) {
                all[n++] = number_header("$headers", n_own);
                n_own = 0;
        }
        for (; n_own; n_own--, n++) {
                if (headers_next(&r, &all[n]))
                        return -EPROTO;
        }
        return headers_encode(out, all, n);
}

/* A set of its own: copies of the descriptors that come with it, and one of the payload. */
static int place(struct core *c, struct msg_pub *pub, const struct msg *m, struct fdset **ret_fds)
{
        const struct core_store *store = &c->config.store;
        int fds[WIRE_FDS + 1], file = -1, r = 0;
        size_t n = 0;

        if (c->bus.used[QUOTA_FDS] + pub->n_fds + 1 > c->config.limits.held_fds)
                return -EMFILE;
        for (; n < pub->n_fds && r == 0; n++) {
                fds[n] = store->copy(store->arg, fdset_fds(m->fds)[n]);
                if (fds[n] < 0) {
                        r = fds[n];
                        break;
                }
        }
        if (r == 0)
                r = store->append(store->arg, &file, pub->payload.data, pub->payload.len);
        if (r == 0)
                r = store->seal(store->arg, file);
        if (file >= 0)
                fds[n++] = file;
        if (r == 0)
                r = fdset_new_take(fds, n, c->config.yard, ret_fds);
        else
                while (n)
                        store->drop(store->arg, fds[--n]);
        if (r < 0)
                return r;
        pub->size = pub->payload.len;
        pub->payload = (struct slice){NULL, 0};
        pub->n_fds++;
        return 0;
}

/* Writes the PUB to `out`; `*ret_fds` is what it has of its own then. */
static int write_pub(struct core *c, const struct pool_entry *e, struct buf *out,
        struct msg_pub *pub, struct fdset **ret_fds)
{
        struct buf headers cleanup_(buf_deinit) = BUF_INIT;
        struct message pm = {.type = WIRE_PUB};
        int r = put_headers(e, pub, &headers);

        if (r < 0)
                return r;
        pub->topic = slice_of(DEAD);
        pub->headers = (struct slice){headers.data, headers.len};
        pm.pub = *pub;
        r = message_encode(out, &pm);
        if (r < 0 || out->len <= WIRE_FRAME_BYTES)
                return r;
        buf_clear(out);
        r = place(c, pub, e->msg, ret_fds);
        pm.pub = *pub;
        return r < 0 ? r : message_encode(out, &pm);
}

static struct msg *message_of(struct core *c, const struct pool_entry *e)
{
        struct msg *m = e->msg;
        struct buf frame cleanup_(buf_deinit) = BUF_INIT;
        struct fdset *own = NULL;
        struct msg_pub pub;
        struct msg *dead = NULL;

        if (msg_decode(m, &pub) == 0 && write_pub(c, e, &frame, &pub, &own) == 0)
                dead = msg_of_broker(c, &frame, sizeof(DEAD) - 1);
        if (!dead) {
                fdset_unref(own);
                return NULL;
        }
        dead->n_fds = pub.n_fds;
        dead->placed = pub.size;
        dead->sender = m->sender;
        dead->peer = m->peer;
        if (own)
                msg_take_fds(dead, own, &c->bus);
        else
                msg_share_fds(dead, m);
        return dead;
}

/* There is no memory for it: who would have got it is told so. */
static void lose(struct core *c, const struct targets *to)
{
        for (uint32_t i = 0; i < to->n; i++) {
                struct session *s = to->at[i].session;
                struct subset *subset = to->at[i].subset;
                if (s && s->state == SESSION_OPEN &&
                        queue_lose(c, s, subset, WIRE_GAP_NO_MEMORY, 1) < 0)
                        session_end(c, s, WIRE_CODE_NO_MEMORY, "no memory for your queue");
        }
}

void dead_publish(struct core *c, const struct pool_entry *e)
{
        const struct msg *m = e->msg;
        struct targets *to;
        bool is_dead_already = m->topic_len == sizeof(DEAD) - 1 &&
                               !memcmp(m->data + m->topic_at, DEAD, m->topic_len);

        if (is_dead_already || route_get(c, DEAD, sizeof(DEAD) - 1, &to) != 0 || !to->n)
                return;
        struct msg *dead = message_of(c, e);
        if (dead)
                (void)admit_all_without_waiting(c, to, dead);
        else
                lose(c, to);
        msg_unref(dead);
}
