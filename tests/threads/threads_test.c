/* Design note. Handles in threads of their own, all at once, against a real broker. What they share
 * is the library's code, and what it keeps for the whole process; ThreadSanitizer looks at that
 * (bazel test --config=tsan //tests/threads/...), the counts at everything else. Nothing sleeps: a
 * thread waits for its handle or for the board. */
#include "tests/harness/broker_process.h"
#include "tests/threads/roles.h"

struct stage {
        struct broker_process broker;
        struct world world;
        struct belt belt;
};

static void stage_open(struct stage *s)
{
        *s = (struct stage){.belt.n = 0};
        broker_process_start(&s->broker);
        world_init(&s->world, s->broker.address);
        CHECK_EQ(pthread_mutex_init(&s->belt.mutex, NULL), 0);
        CHECK_EQ(pthread_cond_init(&s->belt.changed, NULL), 0);
}

static void stage_close(struct stage *s)
{
        pthread_cond_destroy(&s->belt.changed);
        pthread_mutex_destroy(&s->belt.mutex);
        world_deinit(&s->world);
        broker_process_stop(&s->broker);
}

struct part {
        void *(*play)(void *role);
        uint32_t number;
};

enum { PARTS_MAX = 16 };

static void play(struct stage *s, const struct part *parts, size_t n)
{
        struct role roles[PARTS_MAX];
        pthread_t threads[PARTS_MAX];

        CHECK(n <= PARTS_MAX);
        for (size_t i = 0; i < n; i++) {
                roles[i] = (struct role){&s->world, parts[i].number, &s->belt};
                CHECK_EQ(pthread_create(&threads[i], NULL, parts[i].play, &roles[i]), 0);
        }
        for (size_t i = 0; i < n; i++)
                CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

#define PLAY(stage, parts) play((stage), (parts), sizeof(parts) / sizeof((parts)[0]))

static void check_streams(struct world *w)
{
        CHECK_EQ(world_get(w, ARRIVED + FIRST_BURSTS), BURST_MESSAGES * SUBSCRIBERS);
        CHECK_EQ(world_get(w, ARRIVED + SECOND_BURSTS), BURST_MESSAGES * SUBSCRIBERS);
        CHECK_EQ(world_get(w, ARRIVED + SURE), SURE_MESSAGES * SUBSCRIBERS);
        CHECK_EQ(world_get(w, CONFIRMED), SURE_MESSAGES);
}

TEST(bursts_of_threads_that_then_call_nothing_arrive_by_themselves)
{
        const struct part parts[] = {
                {subscribe_all, 0},
                {subscribe_all, 1},
                {publish_bursts, FIRST_BURSTS},
                {publish_bursts, SECOND_BURSTS},
                {publish_confirmed, SURE},
        };
        struct stage s;

        stage_open(&s);
        PLAY(&s, parts);
        check_streams(&s.world);
        stage_close(&s);
}

TEST(payloads_are_taken_in_one_thread_and_dropped_in_another)
{
        const struct part parts[] = {
                {take_payloads, 0},
                {drop_payloads, 0},
                {publish_large, LARGE},
        };
        struct stage s;

        stage_open(&s);
        PLAY(&s, parts);
        CHECK_EQ(world_get(&s.world, DROPPED), LARGE_MESSAGES);
        stage_close(&s);
}

TEST(handles_of_all_kinds_in_threads_of_their_own_do_not_disturb_each_other)
{
        const struct part parts[] = {
                {subscribe_all, 0},
                {subscribe_all, 1},
                {publish_bursts, FIRST_BURSTS},
                {publish_bursts, SECOND_BURSTS},
                {publish_confirmed, SURE},
                {serve_requests, 0},
                {send_requests, 0},
                {take_payloads, 0},
                {drop_payloads, 0},
                {publish_large, LARGE},
                {churn_handles, 0},
                {churn_handles, 1},
        };
        struct stage s;

        stage_open(&s);
        PLAY(&s, parts);
        check_streams(&s.world);
        CHECK_EQ(world_get(&s.world, ANSWERED), 2 * REQUESTS);
        CHECK_EQ(world_get(&s.world, SERVED), 1 + 2 * REQUESTS);
        CHECK_EQ(world_get(&s.world, TAKEN), 1 + LARGE_MESSAGES);
        CHECK_EQ(world_get(&s.world, DROPPED), LARGE_MESSAGES);
        CHECK_EQ(world_get(&s.world, TURNED), CHURNERS * CHURN_TURNS);
        stage_close(&s);
}
