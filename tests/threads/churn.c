/* Design note. Handles come and go while others are busy: whatever the library keeps for more than
 * one handle (for those that have something gathered, above all) must bear that. */
#include "tests/threads/roles.h"

#include <errno.h>
#include <stdio.h>

struct heard {
        unsigned n;
        bool frees;
};

static void hear(baton *b, const struct baton_message *m, void *arg)
{
        struct heard *heard = arg;

        (void)m;
        heard->n++;
        if (heard->frees)
                baton_free(b);
}

static void gather(baton *b, const char *topic, int n)
{
        for (int i = 0; i < n; i++)
                CHECK_EQ(baton_publish(b, topic, "x", 1), 0);
}

static void hear_all_and_close(struct world *w, const char *topic)
{
        struct heard heard = {.n = 0};
        baton *b = world_join(w);

        CHECK_EQ(baton_subscribe(b, topic, NULL, hear, &heard, NULL), 0);
        gather(b, topic, 20);
        while (heard.n < 20)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        world_leave(b);
}

static void free_inside_a_callback(struct world *w, const char *topic)
{
        struct heard heard = {.frees = true};
        baton *b = world_join(w);
        int r;

        CHECK_EQ(baton_subscribe(b, topic, NULL, hear, &heard, NULL), 0);
        gather(b, topic, 5);
        while ((r = baton_wait(b, LONG_MS)) >= 0 && !heard.n)
                continue;
        CHECK_EQ(r, -ENOTCONN);
        CHECK_EQ(heard.n, 1);
}

static void free_with_something_gathered(struct world *w, const char *topic)
{
        baton *b = world_join(w);

        gather(b, topic, 30);
        baton_free(b);
}

static void close_with_something_gathered(struct world *w, const char *topic)
{
        baton *b = world_join(w);

        gather(b, topic, 30);
        world_leave(b);
}

static void turn_nonblocking_and_back(struct world *w, const char *topic)
{
        baton *b = world_join(w);

        gather(b, topic, 10);
        baton_set_nonblocking(b, true);
        gather(b, topic, 10);
        baton_set_nonblocking(b, false);
        gather(b, topic, 10);
        world_leave(b);
}

static void never_connect(void)
{
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_publish(b, "t", "", 0), -ENOTCONN);
        baton_free(b);
}

static void connect_twice(struct world *w, const char *topic)
{
        baton *b = world_join(w);

        gather(b, topic, 3);
        CHECK_EQ(baton_close(b, LONG_MS), 0);
        CHECK_EQ(baton_connect(b, w->address, LONG_MS), 0);
        gather(b, topic, 3);
        world_leave(b);
}

void *churn_handles(void *arg)
{
        struct role *role = arg;
        char topic[16];

        snprintf(topic, sizeof(topic), "churn.%u", role->number);
        for (int turn = 0; turn < CHURN_TURNS; turn++) {
                hear_all_and_close(role->w, topic);
                free_inside_a_callback(role->w, topic);
                free_with_something_gathered(role->w, topic);
                close_with_something_gathered(role->w, topic);
                turn_nonblocking_and_back(role->w, topic);
                never_connect();
                connect_twice(role->w, topic);
                world_add(role->w, TURNED, 1);
        }
        return NULL;
}
