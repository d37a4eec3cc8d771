/* Random life among groups and windows: members come, stop reading, give back, and die while
 * publishers publish. What has to hold is counted here in the simplest way there is:
 *
 *   - what a group gets, one member gets, once, and in the order in which it was published;
 *   - nobody ever has more under way than its window;
 *   - when all read and give back, nothing waits any more; and each publication of the time since
 *     the group has had members has arrived, but for what members that died had with them.
 *
 * A failure prints its seed; SIM_SEED=n plays it again, SIM_ROUNDS=n plays more of them. */
#include "broker/core/fake.h"
#include "proto/base/map.h"
#include "tests/harness/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 1500, ROUNDS = 4, PUBLISHERS = 3, MEMBERS = 8, GROUPS = 3, MOST = STEPS + 1 };

struct member {
        struct client *c;
        int group; /* GROUPS: a window of its own */
        uint64_t window, has;
        uint32_t last[PUBLISHERS]; /* the number that came last from each */
};

struct life {
        struct fake f;
        uint64_t dice;
        struct client *pubs[PUBLISHERS];
        uint32_t n_published[PUBLISHERS];
        struct member members[MEMBERS];
        uint8_t given[GROUPS][PUBLISHERS][MOST];
        uint64_t n_given[GROUPS], may_lack[GROUPS];
};

static uint32_t roll(struct life *l, uint32_t sides)
{
        l->dice = hash_u64(1, l->dice + 1);
        return (uint32_t)(l->dice >> 33) % sides;
}

/* ---------------------------------------------------------------- what they hear */

static void take(struct life *l, struct member *m, const struct got *g)
{
        unsigned who = 0, n = 0;

        CHECK_EQ(sscanf((const char *)g->m.pub.payload.data, "%u %u", &who, &n), 2);
        CHECK(who < PUBLISHERS && n && n <= l->n_published[who]);
        CHECK(n > m->last[who]);
        m->last[who] = n;
        CHECK(++m->has <= m->window);
        if (m->group == GROUPS)
                return;
        CHECK_EQ(l->given[m->group][who][n], 0);
        l->given[m->group][who][n] = 1;
        l->n_given[m->group]++;
}

static void hear(struct life *l)
{
        for (int i = 0; i < MEMBERS; i++) {
                struct member *m = &l->members[i];
                for (struct got *g; m->c && (g = fake_next(m->c));) {
                        if (g->m.type == WIRE_PUB)
                                take(l, m, g);
                }
        }
        for (int i = 0; i < PUBLISHERS; i++)
                fake_forget(l->pubs[i]);
}

/* ---------------------------------------------------------------- what they do */

static void arrive(struct life *l, struct member *m, int group)
{
        static const char *const names[] = {"g0", "g1", "g2", NULL};

        *m = (struct member){.c = fake_open(&l->f), .group = group, .window = 1 + roll(l, 5)};
        fake_join(m->c, 1, "a.*", names[group], m->window);
}

static void die(struct life *l, struct member *m)
{
        hear(l);
        if (m->group < GROUPS)
                l->may_lack[m->group] += m->window - m->has;
        fake_close(m->c);
        m->c = NULL;
}

static void publish(struct life *l, int who)
{
        char text[32];

        for (uint32_t n = 1 + roll(l, 4); n && l->n_published[who] < STEPS; n--) {
                snprintf(text, sizeof(text), "%d %u", who, ++l->n_published[who]);
                say_pub(l->pubs[who], "a.b", text);
        }
        fake_go(l->pubs[who]);
}

static void give_back(struct member *m, uint64_t n)
{
        if (!n)
                return;
        m->has -= n;
        fake_give_back(m->c, 1, n);
}

static void step(struct life *l)
{
        struct member *m = &l->members[roll(l, MEMBERS)];
        /* The first of each group stay: so nothing is discarded. */
        bool stays = m - l->members < GROUPS;
        uint32_t what = roll(l, 100);

        if (what < 40)
                publish(l, (int)roll(l, PUBLISHERS));
        else if (!m->c)
                arrive(l, m, (int)roll(l, GROUPS + 1));
        else if (what < 80)
                give_back(m, roll(l, (uint32_t)m->has + 1));
        else if (what < 90)
                fake_room(m->c, roll(l, 2) ? SIZE_MAX : roll(l, 500));
        else if (what < 95 && !stays)
                die(l, m);
        else
                fake_tick(&l->f, roll(l, 3));
        hear(l);
}

/* All read, and give back at once. */
static void finish(struct life *l)
{
        bool is_busy = true;

        while (is_busy) {
                is_busy = false;
                for (int i = 0; i < MEMBERS; i++) {
                        struct member *m = &l->members[i];
                        if (!m->c)
                                continue;
                        fake_room(m->c, SIZE_MAX);
                        hear(l);
                        is_busy |= m->has > 0;
                        give_back(m, m->has);
                        hear(l);
                }
        }
}

static void live(uint64_t seed)
{
        struct life *l = calloc(1, sizeof(*l));
        uint64_t n = 0;

        CHECK(l);
        l->dice = seed;
        fake_init_with(&l->f, seed % 2 ? "queue_messages=5" : "queue_messages=500");
        l->f.budget = seed % 3;
        for (int i = 0; i < PUBLISHERS; i++)
                l->pubs[i] = fake_open(&l->f);
        for (int i = 0; i < GROUPS; i++)
                arrive(l, &l->members[i], i);
        for (int i = 0; i < STEPS; i++)
                step(l);
        finish(l);
        CHECK_EQ(fake_report(&l->f, "waiting") + fake_report(&l->f, "parked"), 0);
        for (int i = 0; i < PUBLISHERS; i++)
                n += l->n_published[i];
        for (int i = 0; i < GROUPS; i++)
                CHECK(l->n_given[i] <= n && l->n_given[i] + l->may_lack[i] >= n);
        fake_close_all(&l->f);
        fake_deinit(&l->f);
        free(l);
}

TEST(each_publication_goes_to_one_member_whatever_happens)
{
        fake_seeds(ROUNDS, live);
}
