/* Design note. A payload that comes in chunks: BEGIN, CHUNK ..., END. It is collected until it is
 * whole, and then published like one that came placed, so nothing behind this file knows how it
 * came. What turns out small stays in memory and becomes a plain PUB; the rest goes to the shell's
 * store, whose pages cost the broker's heap nothing.
 *
 * What is refused is answered at once, and the rest of it is skipped up to END: its sender may have
 * sent all of it before it hears. So is what its sender does not go on with: what is collected, and
 * the descriptors of BEGIN, are not for who has fallen asleep over them. */
#include "broker/core/internal.h"
#include "proto/wire/headers.h"
#include "proto/wire/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* A PUB is as long as its BEGIN and its payload, and no more than so much. */
        PUB_MORE_BYTES = 16,
};

static const struct refusal TOO_LARGE = {
        WIRE_CODE_LIMIT, "payload_bytes", "the payload is too large"};
const struct refusal refusal_too_many_fds = {
        WIRE_CODE_LIMIT, "held_fds", "too many descriptors are open here"};
static const struct refusal TOO_MANY_OF_UID = {
        WIRE_CODE_LIMIT, "uid_fds", "too many descriptors of your uid are open here"};
static const struct refusal SPOOL_FULL = {
        WIRE_CODE_LIMIT, "spool_bytes", "too much of unfinished payloads is collected here"};
static const struct refusal SPOOL_OF_UID = {WIRE_CODE_LIMIT, "uid_spool_bytes",
        "too much of unfinished payloads of your uid is collected here"};
static const struct refusal STALLED = {
        WIRE_CODE_LIMIT, "stall_ms", "nothing has come of the payload for too long"};
static const struct refusal CANCELLED = {WIRE_CODE_CANCELLED, "", "given up by its sender"};
static const struct refusal NO_MEMORY = {WIRE_CODE_NO_MEMORY, "", "no memory for the payload"};

/* Its descriptors and its file count among those that are held, as a message's do. */
static struct fdset *take_fds(struct session *s)
{
        struct upload *u = s->upload;

        account_release(s->account, QUOTA_FDS, fdset_n(u->fds));
        return take_ptr(u->fds);
}

static int take_file(struct session *s)
{
        struct upload *u = s->upload;
        int fd = u->file;

        account_release(s->account, QUOTA_FDS, fd >= 0);
        u->file = -1;
        return fd;
}

/* All of it but topic and headers. */
static void forget(struct core *c, struct session *s)
{
        struct upload *u = s->upload;
        int fd = take_file(s);

        heap_remove(&c->timers, &u->timer.node);
        if (fd >= 0)
                c->config.store.drop(c->config.store.arg, fd);
        account_release(s->account, QUOTA_SPOOL_BYTES, u->kept);
        u->kept = 0;
        buf_deinit(&u->small);
        fdset_unref(take_fds(s));
}

void upload_drop(struct core *c, struct session *s)
{
        struct upload *u = s->upload;

        if (!u)
                return;
        forget(c, s);
        s->upload = NULL;
        buf_deinit(&u->text);
        free(u);
}

static void refuse(struct core *c, struct session *s, const struct refusal *why)
{
        struct upload *u = s->upload;

        forget(c, s);
        u->is_refused = true;
        publish_refuse(c, s, &u->header, u->cost, why);
        u->cost = 0;
}

static struct refusal judge_topic(const struct upload *u)
{
        const struct slice *topic = &u->pub.topic;
        enum pub_kind kind = u->header.kind;

        if (kind == PUB_REPLY && topic->len)
                return (struct refusal){WIRE_CODE_BAD_TOPIC, "", "a reply has the topic \"\""};
        if (kind != PUB_REPLY && !topic_is_valid(topic->data, topic->len))
                return (struct refusal){WIRE_CODE_BAD_TOPIC, "", "not a topic"};
        if (kind == PUB_PLAIN && topic_is_reserved(topic->data, topic->len))
                return (struct refusal){
                        WIRE_CODE_REFUSED, "", "topics with $ belong to the broker"};
        return (struct refusal){.code = WIRE_CODE_NONE};
}

static struct refusal judge(const struct core *c, const struct session *s, const struct upload *u)
{
        const struct msg_pub *pub = &u->pub;
        const char *text = "";
        struct refusal why = judge_sender(s, &u->header, &pub->topic, pub->n_fds);

        if (!why.code)
                why = judge_policy(c, s, &u->header, &pub->topic,
                        &(struct burden){.n_fds = pub->n_fds, .are_odd = u->has_odd_fds});
        if (why.code)
                return why;
        if (pub->size > c->config.limits.payload_bytes)
                return TOO_LARGE;
        if (c->bus.used[QUOTA_FDS] + pub->n_fds > c->config.limits.held_fds)
                return refusal_too_many_fds;
        if (pub->n_fds && account_refuses(c, s->who, s->account, QUOTA_FDS, pub->n_fds))
                return TOO_MANY_OF_UID;
        if (pub->n_headers && headers_check(pub->headers, false, &text) != 0)
                return (struct refusal){WIRE_CODE_BAD_HEADERS, "", text};
        return judge_topic(u);
}

/* Keeps topic and headers of BEGIN beyond its packet. */
static int keep(struct upload *u, const struct msg_pub *pub)
{
        int r = buf_push(&u->text, pub->topic.data, pub->topic.len);

        if (r == 0)
                r = buf_push(&u->text, pub->headers.data, pub->headers.len);
        if (r < 0)
                return r;
        u->pub = *pub;
        u->pub.topic.data = u->text.data;
        u->pub.headers.data = u->text.data + pub->topic.len;
        return 0;
}

/* The time for its next byte begins. Returns 0 · -ENOMEM, and nothing has changed. */
static int expect_more(struct core *c, struct upload *u)
{
        return heap_set(&c->timers, &u->timer.node, core_in_ms(c, c->config.limits.stall_ms));
}

/* Whose publications wait for others may lack the window to go on. */
void upload_timer(struct core *c, struct timer *t)
{
        struct session *s = container_of(t, struct upload, timer)->session;

        if (list_is_empty(&s->parked) || expect_more(c, s->upload) < 0)
                refuse(c, s, &STALLED);
}

int upload_begin(struct core *c, struct session *s, const struct begun *b)
{
        struct upload *u = calloc(1, sizeof(*u));

        if (!u || keep(u, b->pub) < 0 || expect_more(c, u) < 0) {
                fdset_unref(b->fds);
                if (u)
                        buf_deinit(&u->text);
                free(u);
                return -ENOMEM;
        }
        u->timer.kind = TIMER_UPLOAD;
        u->session = s;
        u->header = *b->header;
        u->fds = b->fds;
        u->has_odd_fds = b->has_odd_fds;
        u->cost = b->cost;
        u->file = -1;
        s->upload = u;
        struct refusal why = b->are_cut ? refusal_too_many_fds : judge(c, s, u);
        account_charge(s->account, QUOTA_FDS, fdset_n(u->fds));
        if (why.code)
                refuse(c, s, &why);
        return 0;
}

/* ------------------------------------------------------------------ chunks */

static int append_to_file(struct core *c, struct session *s, const void *data, size_t len)
{
        struct upload *u = s->upload;
        const struct core_store *store = &c->config.store;
        bool was_there = u->file >= 0;

        c->work += len / WORK_BYTES;
        int r = len ? store->append(store->arg, &u->file, data, len) : 0;

        account_charge(s->account, QUOTA_FDS, !was_there && u->file >= 0);
        return r;
}

static bool is_small(const struct upload *u, size_t more)
{
        return u->file < 0 &&
               u->text.len + u->small.len + more + PUB_MORE_BYTES <= WIRE_FRAME_BYTES;
}

static int append(struct core *c, struct session *s, struct slice data)
{
        struct upload *u = s->upload;

        if (is_small(u, data.len))
                return buf_push(&u->small, data.data, data.len);
        int r = append_to_file(c, s, u->small.data, u->small.len);
        if (r < 0)
                return r;
        buf_deinit(&u->small);
        return append_to_file(c, s, data.data, data.len);
}

static void collect(struct core *c, struct session *s, struct slice data)
{
        const struct core_limits *limits = &c->config.limits;
        struct upload *u = s->upload;
        bool needs_file = u->file < 0 && !is_small(u, data.len);

        if (u->is_refused)
                return;
        if (u->got > limits->payload_bytes) {
                refuse(c, s, &TOO_LARGE);
        } else if (c->bus.used[QUOTA_SPOOL_BYTES] + data.len > limits->spool_bytes) {
                refuse(c, s, &SPOOL_FULL);
        } else if (account_refuses(c, s->who, s->account, QUOTA_SPOOL_BYTES, data.len)) {
                refuse(c, s, &SPOOL_OF_UID);
        } else if (needs_file && c->bus.used[QUOTA_FDS] >= limits->held_fds) {
                refuse(c, s, &refusal_too_many_fds);
        } else if (needs_file && account_refuses(c, s->who, s->account, QUOTA_FDS, 1)) {
                refuse(c, s, &TOO_MANY_OF_UID);
        } else if (append(c, s, data) < 0) {
                refuse(c, s, &NO_MEMORY);
        } else if (data.len) {
                u->kept += data.len;
                account_charge(s->account, QUOTA_SPOOL_BYTES, data.len);
                (void)!expect_more(c, u); /* it is in the heap, and moves */
        }
}

const char *upload_chunk(struct core *c, struct session *s, struct slice data, uint64_t cost)
{
        struct upload *u = s->upload;

        u->got += data.len;
        if (u->pub.size && u->got > u->pub.size)
                return "more in chunks than BEGIN said";
        collect(c, s, data);
        publish_credit(c, s, cost);
        return NULL;
}

/* --------------------------------------------------------------------- end */

/* The descriptors of BEGIN, and the payload's behind them. */
static int join_fds(struct core *c, struct session *s)
{
        struct upload *u = s->upload;
        int fds[WIRE_FDS + 1];
        size_t n = fdset_n(u->fds);
        const struct core_store *store = &c->config.store;
        int r = store->seal(store->arg, u->file);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                fds[i] = fdset_steal(u->fds, i);
        fdset_unref(take_fds(s));
        fds[n] = take_file(s);
        r = fdset_new_take(fds, n + 1, c->config.yard, &u->fds);
        account_charge(s->account, QUOTA_FDS, fdset_n(u->fds));
        return r;
}

/* Makes the PUB that could have come instead. */
static int make_pub(struct core *c, struct session *s, struct buf *out)
{
        struct upload *u = s->upload;
        struct message m = {.type = WIRE_PUB, .pub = u->pub};

        m.pub.size = 0;
        if (u->file < 0) {
                m.pub.payload = (struct slice){u->small.data, u->small.len};
                if (!u->small.len)
                        m.pub.payload.data = u->text.data; /* empty, but inline */
        } else {
                m.pub.size = u->kept;
                m.pub.n_fds++;
                int r = join_fds(c, s);
                if (r < 0)
                        return r;
        }
        return message_encode(out, &m);
}

static int publish(struct core *c, struct session *s)
{
        struct buf frame cleanup_(buf_deinit) = BUF_INIT;
        struct upload *u = s->upload;
        struct run run = {.header = u->header,
                .n_frames = 1,
                .has_odd_fds = u->has_odd_fds,
                .is_collected = true};
        struct frame f;
        int r = make_pub(c, s, &frame);

        if (r < 0)
                return r;
        const uint8_t *at = frame.data;
        r = scan_frame(&at, at + frame.len, &f);
        if (r == 0)
                r = message_decode_pub(&f, &run.first);
        if (r)
                return -EPROTO; /* cannot be: it was encoded here */
        run.data = frame.data;
        run.len = frame.len;
        run.cost = u->cost;
        run.fds = take_fds(s);
        publish_run(c, s, &run);
        return 0;
}

void upload_cancel(struct core *c, struct session *s, uint64_t id)
{
        const struct upload *u = s->upload;

        if (u && !u->is_refused && u->header.kind == PUB_REQUEST && u->header.id == id)
                refuse(c, s, &CANCELLED);
}

const char *upload_end(struct core *c, struct session *s, bool is_given_up, uint64_t cost)
{
        struct upload *u = s->upload;

        if (!is_given_up && !u->is_refused && u->pub.size && u->got != u->pub.size)
                return "less in chunks than BEGIN said";
        u->cost += cost;
        if (u->is_refused)
                publish_credit(c, s, cost);
        else if (is_given_up && header_has_id(&u->header))
                refuse(c, s, &CANCELLED);
        else if (is_given_up)
                publish_credit(c, s, u->cost);
        else if (publish(c, s) < 0)
                refuse(c, s, &NO_MEMORY);
        upload_drop(c, s);
        return NULL;
}
