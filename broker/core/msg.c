/* Design note. One copy: from the receive buffer into a msg, which every queue then shares. The
 * bytes are the PUB frames as they came in and are sent as they are. Descriptors belong to the msg:
 * with its last reference they go to the graveyard, and are no longer counted. */
#include "broker/core/internal.h"

#include <stdlib.h>
#include <string.h>

struct msg *msg_new(const void *data, size_t len)
{
        struct msg *m = malloc(sizeof(*m) + len);

        if (!m)
                return NULL;
        *m = (struct msg){.refs = 1, .len = (uint32_t)len};
        memcpy(m->data, data, len);
        return m;
}

struct msg *msg_of_broker(const struct core *c, const struct buf *pub, size_t topic_len)
{
        struct msg *m = msg_new(pub->data, pub->len);

        if (!m)
                return NULL;
        m->n_frames = 1;
        m->topic_at = 4; /* array, type, n_fds, and the head of a short str */
        m->topic_len = (uint32_t)topic_len;
        m->born_ns = c->now_ns;
        return m;
}

int msg_decode(const struct msg *m, struct msg_pub *ret_pub)
{
        const uint8_t *at = m->data;
        struct frame f;
        int r = scan_frame(&at, m->data + m->len, &f);

        return r ? r : message_decode_pub(&f, ret_pub);
}

void msg_take_fds(struct msg *m, struct fdset *fds, struct account *payer)
{
        if (!fds)
                return;
        m->fds = fds;
        m->payer = account_ref(payer);
        account_charge(payer, QUOTA_FDS, fdset_n(fds));
}

void msg_share_fds(struct msg *m, struct msg *original)
{
        if (!original->fds)
                return;
        m->fds = fdset_ref(original->fds);
        m->original = msg_ref(original);
}

uint32_t msg_user_fds(const struct msg *m)
{
        return m->n_fds - (m->placed > 0);
}

struct msg *msg_ref(struct msg *m)
{
        m->refs++;
        return m;
}

void msg_unref(struct msg *m)
{
        if (!m || --m->refs)
                return;
        if (m->payer)
                account_release(m->payer, QUOTA_FDS, fdset_n(m->fds));
        account_unref(m->payer);
        fdset_unref(m->fds);
        msg_unref(m->original);
        free(m);
}

bool subset_is_same(const struct subset *a, const struct subset *b)
{
        if (a == b)
                return true;
        return a && b && a->n == b->n && !memcmp(a->ids, b->ids, a->n * sizeof(a->ids[0]));
}

void subset_unref(struct subset *s)
{
        if (s && !--s->refs)
                free(s);
}

struct subset *subset_of_one(uint32_t number)
{
        struct subset *set = malloc(sizeof(*set) + sizeof(set->ids[0]));

        if (set) {
                *set = (struct subset){.refs = 1, .n = 1};
                set->ids[0] = number;
        }
        return set;
}
