/* Design note. What a publication leaves behind in the broker, a retained value or a will, goes
 * with the session or with the instance of the broker. A handle that stays connected has a copy of
 * each, and sends them again: the will to every new session, retained values to another instance,
 * which has none of them. They are sent like what was kept, and confirmed, so that a refusal is
 * told. */
#include "client/kept.h"

#include "client/stay.h"

#include "proto/wire/format.h"

#include <errno.h>
#include <string.h>

static bool is_will(uint64_t flags)
{
        return flags & WIRE_INGRESS_WILL;
}

static bool is_same(const struct kept *k, const struct post *p)
{
        /* A will may be retained, once it is published: it is no retained value before. */
        if (is_will(k->flags) || is_will(p->flags))
                return is_will(k->flags) && is_will(p->flags);
        return k->prefix_len == p->prefix_len && !memcmp(k->bytes, p->prefix, p->prefix_len);
}

static void remove_lasting(struct stay *s, struct kept *k)
{
        s->lasting_bytes -= kept_size(k);
        list_remove(&k->link);
        kept_free(k);
}

static void remove_same(struct stay *s, const struct post *p)
{
        list_for_each_safe (it, &s->lasting) {
                struct kept *k = container_of(it, struct kept, link);
                if (is_same(k, p))
                        remove_lasting(s, k);
        }
}

void kept_remember(struct baton *b, const struct post *p)
{
        struct stay *s = b->stay;
        struct kept *k = NULL;

        remove_same(s, p);
        if (is_will(p->flags) ? p->prefix[p->prefix_len - 1] == MP_FIXSTR && p->prefix_len == 4
                              : !p->payload_len && !p->n_fds)
                return; /* it was cleared */
        if (kept_new(b, p, &k) < 0)
                return;
        if (s->lasting_bytes + kept_size(k) > STAY_LASTING_BYTES) {
                handle_log(b,
                        "a retained value of %zu bytes is not restored after a reconnect: "
                        "more than %d bytes of them",
                        p->payload_len, STAY_LASTING_BYTES);
                kept_free(k);
                return;
        }
        s->lasting_bytes += kept_size(k);
        list_push_back(&s->lasting, &k->link);
}

/* The topic stands at the end of the prefix, behind a head of one or two bytes. */
static struct slice topic_of(const struct kept *k)
{
        size_t head = k->bytes[3] == MP_STR8 ? 5 : 4;

        return (struct slice){k->bytes + head, k->prefix_len - head};
}

/* Goes before all that was published since, like anything else that is kept. */
static int restore_one(struct baton *b, const struct kept *k)
{
        struct post p = kept_post(k);
        struct slice topic = topic_of(k);
        struct kept *again = NULL;
        struct op *op;
        int r = ops_new(b, OP_RESTORE, &op);

        if (r < 0)
                return r;
        op->is_will = is_will(k->flags);
        op->arg = strndup((const char *)topic.data, topic.len);
        if (!op->arg)
                r = handle_fail(b, -ENOMEM, "out of memory");
        if (r < 0 || (r = kept_new(b, &p, &again)) < 0) {
                op_drop(b, op);
                return r;
        }
        again->at_ns = k->at_ns;
        kept_push(b, again, op, b->stay->kept.next);
        b->stay->n_asked++;
        return 0;
}

/* A later one that was kept, or the same one that was gathered: the former value is of no use, and
 * told behind it would be wrong. */
static bool is_kept(const struct baton *b, const struct kept *k)
{
        list_for_each (it, &b->stay->kept) {
                const struct kept *other = container_of(it, struct kept, link);
                struct post p = kept_post(other);
                if ((p.flags & (WIRE_INGRESS_RETAIN | WIRE_INGRESS_WILL)) && is_same(k, &p))
                        return true;
        }
        return false;
}

int kept_restore(struct baton *b, bool is_other_instance)
{
        struct list *lasting = &b->stay->lasting;

        for (struct list *it = lasting->prev, *prev = it->prev; it != lasting;
                it = prev, prev = it->prev) {
                struct kept *k = container_of(it, struct kept, link);
                int r = 0;
                if (k->ms && kept_age_ms(k) >= k->ms)
                        remove_lasting(b->stay, k); /* the old instance has none either */
                else if ((is_other_instance || is_will(k->flags)) && !is_kept(b, k))
                        r = restore_one(b, k);
                if (r < 0)
                        return r;
        }
        return 0;
}

void kept_forget_lasting(struct baton *b)
{
        for (struct list *it; (it = list_first(&b->stay->lasting));)
                remove_lasting(b->stay, container_of(it, struct kept, link));
}

void kept_forget_one(struct baton *b, const char *topic, bool of_will)
{
        list_for_each_safe (it, &b->stay->lasting) {
                struct kept *k = container_of(it, struct kept, link);
                struct slice is = topic_of(k);
                if (is_will(k->flags) == of_will && is.len == strlen(topic) &&
                        !memcmp(is.data, topic, is.len))
                        remove_lasting(b->stay, k);
        }
}
