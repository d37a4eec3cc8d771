/* Design note. The heart of the test: publishers that call nothing after a burst. So the library's
 * own means alone bring out what is gathered, while other threads use, make and free handles. */
#include "tests/threads/roles.h"

#include <stdio.h>

enum { SMALL_BYTES = 40, SURE_AT_ONCE = 64 };

static void publish(baton *b, const char *topic, struct stamp s)
{
        uint8_t payload[SMALL_BYTES];

        stamp_write(payload, sizeof(payload), s);
        CHECK_EQ(baton_publish(b, topic, payload, sizeof(payload)), 0);
}

static void name_topic(char topic[16], uint32_t publisher)
{
        snprintf(topic, 16, "burst.%u", publisher);
}

void *publish_bursts(void *arg)
{
        struct role *role = arg;
        struct stamp s = {.publisher = role->number};
        baton *b = world_join(role->w);
        char topic[16];

        name_topic(topic, s.publisher);
        world_wait(role->w, READY, SUBSCRIBERS);
        for (int burst = 0; burst < BURST_ROUNDS * LONGEST_BURST; burst++) {
                for (int i = 0; i <= burst % LONGEST_BURST; i++, s.number++)
                        publish(b, topic, s);
                world_wait(role->w, ARRIVED + s.publisher, s.number * SUBSCRIBERS);
        }
        CHECK_EQ(s.number, BURST_MESSAGES);
        world_leave(b);
        return NULL;
}

static void count_confirmed(baton *b, int result, const char *text, void *arg)
{
        (void)b, (void)text;
        CHECK_EQ(result, SUBSCRIBERS);
        ++*(uint64_t *)arg;
}

void *publish_confirmed(void *arg)
{
        struct role *role = arg;
        struct stamp s = {.publisher = role->number};
        baton *b = world_join(role->w);
        uint8_t payload[SMALL_BYTES];
        uint64_t confirmed = 0;
        char topic[16];

        name_topic(topic, s.publisher);
        struct baton_publication p = {
                .topic = topic, .payload = payload, .payload_len = sizeof(payload)};
        world_wait(role->w, READY, SUBSCRIBERS);
        for (; s.number < SURE_MESSAGES; s.number++) {
                while (s.number - confirmed >= SURE_AT_ONCE)
                        CHECK(baton_wait(b, LONG_MS) >= 0);
                stamp_write(payload, sizeof(payload), s);
                CHECK_EQ(baton_publish_confirm(b, &p, count_confirmed, &confirmed), 0);
        }
        while (confirmed < SURE_MESSAGES)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        world_add(role->w, CONFIRMED, confirmed);
        world_leave(b);
        return NULL;
}

struct tally {
        struct world *w;
        uint64_t next[PUBLISHERS];
        uint64_t total;
};

static void count_message(baton *b, const struct baton_message *m, void *arg)
{
        struct stamp s = stamp_read(m->payload, m->payload_len);
        struct tally *t = arg;

        (void)b;
        CHECK(s.publisher < PUBLISHERS);
        CHECK_EQ(s.number, t->next[s.publisher]);
        t->next[s.publisher]++;
        t->total++;
        world_add(t->w, ARRIVED + s.publisher, 1);
}

void *subscribe_all(void *arg)
{
        struct role *role = arg;
        struct tally t = {.w = role->w};
        baton *b = world_join(role->w);

        CHECK_EQ(baton_subscribe(b, "burst.>", NULL, count_message, &t, NULL), 0);
        world_add(role->w, READY, 1);
        while (t.total < 2 * BURST_MESSAGES + SURE_MESSAGES)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        CHECK_EQ(t.next[FIRST_BURSTS], BURST_MESSAGES);
        CHECK_EQ(t.next[SECOND_BURSTS], BURST_MESSAGES);
        CHECK_EQ(t.next[SURE], SURE_MESSAGES);
        world_leave(b);
        return NULL;
}
