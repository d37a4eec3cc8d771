/* Design note. What sessions that are gone were still owed, for a while: who comes back and says
 * which session it was, and what it saw last, is told how much it has missed. Only a question is
 * answered; nothing is given back. The latest DEPARTED_MOST are remembered, in a ring; only the
 * same uid is told. */
#include "broker/core/internal.h"

#include <stdlib.h>
#include <string.h>

enum { DEPARTED_MOST = 1024 };

struct departed {
        uint64_t number; /* 0: none */
        uint64_t last_seq, discarded;
        uint32_t uid;
};

void departed_add(struct core *c, const struct session *s)
{
        if (!c->departed && !(c->departed = calloc(DEPARTED_MOST, sizeof(struct departed))))
                return; /* then it is not known */
        c->departed[c->n_departed++ % DEPARTED_MOST] = (struct departed){
                .number = s->number,
                .last_seq = s->next_seq - 1,
                .discarded = s->discarded,
                .uid = s->peer.uid,
        };
}

static bool find_departed(const struct core *c, uint64_t number, struct departed *ret)
{
        for (size_t i = 0; c->departed && i < DEPARTED_MOST; i++) {
                *ret = c->departed[i];
                if (ret->number == number)
                        return true;
        }
        return false;
}

/* Its connection is gone, and that has not been noticed yet. */
static bool find_present(const struct core *c, uint64_t number, struct departed *ret)
{
        for (size_t i = 0; i < c->n_slots; i++) {
                const struct session *s = c->slots[i];
                if (!s || s->number != number)
                        continue;
                *ret = (struct departed){number, s->next_seq - 1, s->queue_messages, s->peer.uid};
                return true;
        }
        return false;
}

bool departed_missed(const struct core *c, const struct session *s, const struct msg_hello *hello,
        uint64_t *ret_missed)
{
        struct departed d;

        if (!hello->resume_instance.data || !hello->resume_session ||
                memcmp(hello->resume_instance.data, c->config.instance, WIRE_INSTANCE_BYTES) != 0)
                return false;
        if (!find_departed(c, hello->resume_session, &d) &&
                !find_present(c, hello->resume_session, &d))
                return false;
        if (d.uid != s->peer.uid || hello->resume_seq > d.last_seq)
                return false;
        *ret_missed = d.last_seq - hello->resume_seq + d.discarded;
        return true;
}
