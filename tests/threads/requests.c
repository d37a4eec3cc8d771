/* Design note. Two handles that wait for each other, one of them in both ways that there are. */
#include "tests/threads/roles.h"

enum { AT_ONCE = 32, QUESTION_BYTES = 24 };

static void serve(baton *b, const struct baton_message *m, void *arg)
{
        uint64_t *served = arg;

        CHECK(m->is_request);
        CHECK_EQ(baton_reply(b, m->token, m->payload, m->payload_len), 0);
        ++*served;
}

void *serve_requests(void *arg)
{
        struct role *role = arg;
        baton *b = world_join(role->w);
        uint64_t served = 0;

        CHECK_EQ(baton_subscribe(b, "svc.echo", NULL, serve, &served, NULL), 0);
        world_add(role->w, SERVED, 1); /* ready */
        while (served < 2 * REQUESTS)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        world_add(role->w, SERVED, served);
        world_leave(b);
        return NULL;
}

struct asked {
        struct world *w;
        uint64_t replies, ended;
};

static void count_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct asked *asked = arg;
        struct stamp s = stamp_read(m->payload, m->payload_len);

        (void)b;
        CHECK(!m->more && !m->failed);
        CHECK_EQ(s.number, asked->replies);
        asked->replies++;
        world_add(asked->w, ANSWERED, 1);
}

static void count_end(baton *b, int result, const char *text, void *arg)
{
        struct asked *asked = arg;

        (void)b, (void)text;
        CHECK_EQ(result, 0);
        asked->ended++;
}

void *send_requests(void *arg)
{
        struct role *role = arg;
        struct asked asked = {.w = role->w};
        baton *b = world_join(role->w);
        uint8_t question[QUESTION_BYTES];
        struct baton_publication p = {
                .topic = "svc.echo", .payload = question, .payload_len = sizeof(question)};

        world_wait(role->w, SERVED, 1);
        for (uint64_t i = 0; i < REQUESTS; i++) {
                stamp_write(question, sizeof(question), (struct stamp){.number = i});
                CHECK_EQ(baton_request(b, &p, LONG_MS, count_reply, &asked), 0);
        }
        for (uint64_t i = 0; i < REQUESTS; i++) {
                while (i - asked.ended >= AT_ONCE)
                        CHECK(baton_wait(b, LONG_MS) >= 0);
                stamp_write(question, sizeof(question), (struct stamp){.number = REQUESTS + i});
                CHECK_EQ(baton_request_start(b, &p, LONG_MS, count_reply, count_end, &asked, NULL),
                        0);
        }
        while (asked.ended < REQUESTS)
                CHECK(baton_wait(b, LONG_MS) >= 0);
        CHECK_EQ(asked.replies, 2 * REQUESTS);
        world_leave(b);
        return NULL;
}
