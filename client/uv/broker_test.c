/* The adapter against a real broker: two handles in one loop. */
#include "client/uv/baton_uv.h"
#include "tests/harness/broker_process.h"
#include "tests/harness/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 60000, MESSAGES = 20000, REQUESTS = 1000 };

/* One side: a handle and its adapter. */
struct side {
        baton *b;
        struct baton_uv u;
        struct room *room;
        uint64_t sent, received, confirmed, served, answered;
        int end;
};

struct room {
        struct broker_process broker;
        uv_loop_t loop;
        struct side here, there;
};

__attribute__((constructor)) static void warm_up(void)
{
        uv_loop_t loop;

        if (uv_loop_init(&loop) || uv_loop_close(&loop))
                abort();
}

static void note_end(struct baton_uv *u, int result, void *arg)
{
        struct side *side = arg;

        CHECK(&side->u == u);
        CHECK_EQ(side->end, 0);
        side->end = result;
}

static void join(struct room *room, struct side *side)
{
        side->room = room;
        CHECK_EQ(baton_new(&side->b), 0);
        CHECK_EQ(baton_connect(side->b, room->broker.address, LONG_MS), 0);
}

static void start(struct side *side)
{
        baton_uv_start(&side->u, &side->room->loop, side->b, note_end, side);
}

static void open_room(struct room *room)
{
        memset(room, 0, sizeof(*room));
        broker_process_start(&room->broker);
        CHECK_EQ(uv_loop_init(&room->loop), 0);
        join(room, &room->here);
        join(room, &room->there);
}

static void stop_both(struct room *room)
{
        baton_uv_stop(&room->here.u, NULL);
        baton_uv_stop(&room->there.u, NULL);
}

static void run_room(struct room *room)
{
        CHECK_EQ(uv_run(&room->loop, UV_RUN_DEFAULT), 0);
}

static void close_loop(struct room *room)
{
        run_room(room);
        CHECK_EQ(uv_loop_close(&room->loop), 0);
        baton_free(room->here.b);
        baton_free(room->there.b);
}

static void close_room(struct room *room)
{
        close_loop(room);
        broker_process_stop(&room->broker);
}

/* ---------------------------------------------------------------- publications */

static void stop_when_done(struct room *room)
{
        if (room->there.received == MESSAGES && room->here.confirmed == MESSAGES)
                stop_both(room);
}

static void count_message(baton *b, const struct baton_message *m, void *arg)
{
        struct side *side = arg;
        uint64_t number;

        (void)b;
        memcpy(&number, m->payload, sizeof(number));
        CHECK_EQ(number, side->received);
        side->received++;
        stop_when_done(side->room);
}

static void count_confirmed(baton *b, int result, const char *text, void *arg)
{
        struct side *side = arg;

        (void)b, (void)text;
        CHECK_EQ(result, 1);
        side->confirmed++;
        stop_when_done(side->room);
}

/* Publishes until it may not, and then whenever it may again. Once it may not, the subscriber
 * begins to read. */
static void publish_more(struct baton_uv *u, void *arg)
{
        struct side *side = arg;
        char payload[2000] = "";
        struct baton_publication p = {
                .topic = "m", .payload = payload, .payload_len = sizeof(payload)};
        int r = 0;

        for (; side->sent < MESSAGES; side->sent++) {
                memcpy(payload, &side->sent, sizeof(side->sent));
                r = baton_publish_confirm(u->b, &p, count_confirmed, side);
                if (r < 0)
                        break;
        }
        if (side->sent == MESSAGES)
                return;
        CHECK_EQ(r, -EAGAIN);
        baton_uv_retry(u, publish_more);
        if (!side->room->there.u.b)
                start(&side->room->there);
}

TEST(a_subscriber_that_does_not_read_stops_the_publisher_and_nothing_is_lost)
{
        struct room room;

        open_room(&room);
        CHECK_EQ(baton_subscribe(room.there.b, "m", NULL, count_message, &room.there, NULL), 0);
        start(&room.here);
        publish_more(&room.here.u, &room.here);
        run_room(&room);
        CHECK_EQ(room.there.received, MESSAGES);
        CHECK_EQ(room.here.confirmed, MESSAGES);
        close_room(&room);
}

static void publish_in_a_timer(uv_timer_t *timer)
{
        struct side *side = timer->data;

        for (int i = 0; i < 40; i++, side->sent++)
                CHECK_EQ(baton_publish(side->b, "m", &side->sent, sizeof(side->sent)), 0);
        if (side->sent == 4000)
                uv_close((uv_handle_t *)timer, NULL);
}

static void stop_at_4000(baton *b, const struct baton_message *m, void *arg)
{
        struct side *side = arg;

        count_message(b, m, arg);
        if (side->received == 4000)
                stop_both(side->room);
}

TEST(bursts_of_a_timer_arrive_without_a_further_call)
{
        struct room room;
        uv_timer_t timer;

        open_room(&room);
        CHECK_EQ(baton_subscribe(room.there.b, "m", NULL, stop_at_4000, &room.there, NULL), 0);
        start(&room.here);
        start(&room.there);
        CHECK_EQ(uv_timer_init(&room.loop, &timer), 0);
        timer.data = &room.here;
        CHECK_EQ(uv_timer_start(&timer, publish_in_a_timer, 0, 1), 0);
        run_room(&room);
        CHECK_EQ(room.there.received, 4000);
        close_room(&room);
}

/* ---------------------------------------------------------------- requests */

static void serve(baton *b, const struct baton_message *m, void *arg)
{
        struct side *side = arg;

        CHECK_EQ(baton_reply(b, m->token, m->payload, m->payload_len), 0);
        side->served++;
}

static void count_reply(baton *b, const struct baton_message *m, void *arg)
{
        struct side *side = arg;

        (void)b;
        CHECK_EQ(m->payload_len, 4);
        CHECK_BYTES(m->payload, "ping", 4);
        side->answered++;
}

static void ask(struct side *side);

static void ask_next(baton *b, int result, const char *text, void *arg)
{
        struct side *side = arg;
        struct room *room = side->room;

        (void)b, (void)text;
        CHECK_EQ(result, 0);
        if (side->sent < REQUESTS)
                ask(side);
        else if (room->here.answered == REQUESTS && room->there.answered == REQUESTS)
                stop_both(room);
}

static void ask(struct side *side)
{
        struct baton_publication p = {.topic = side == &side->room->here ? "there.svc" : "here.svc",
                .payload = "ping",
                .payload_len = 4};

        side->sent++;
        CHECK_EQ(baton_request_start(side->b, &p, LONG_MS, count_reply, ask_next, side, NULL), 0);
}

TEST(requests_and_replies_go_both_ways_in_one_loop)
{
        struct room room;

        open_room(&room);
        CHECK_EQ(baton_subscribe(room.here.b, "here.svc", NULL, serve, &room.here, NULL), 0);
        CHECK_EQ(baton_subscribe(room.there.b, "there.svc", NULL, serve, &room.there, NULL), 0);
        start(&room.here);
        start(&room.there);
        ask(&room.here);
        ask(&room.there);
        run_room(&room);
        CHECK_EQ(room.here.served, REQUESTS);
        CHECK_EQ(room.there.served, REQUESTS);
        close_room(&room);
}

/* ---------------------------------------------------------------- connections */

TEST(a_broker_that_ends_ends_the_loop)
{
        struct room room;

        open_room(&room);
        start(&room.here);
        start(&room.there);
        broker_process_kill(&room.broker);
        run_room(&room);
        CHECK_EQ(room.here.end, -ENOTCONN);
        CHECK_EQ(room.there.end, -ENOTCONN);
        CHECK(strstr(baton_error(room.here.b), "gone"));
        stop_both(&room);
        close_loop(&room);
        broker_process_restart(&room.broker);
        broker_process_stop(&room.broker);
}

static void change_over(uv_timer_t *timer)
{
        struct side *side = timer->data;
        uint64_t zero = 0;

        CHECK_EQ(baton_close(side->b, LONG_MS), 0);
        CHECK_EQ(baton_connect(side->b, side->room->broker.address, LONG_MS), 0);
        CHECK_EQ(baton_subscribe(side->b, "m", NULL, count_message, side, NULL), 0);
        CHECK_EQ(baton_publish(side->b, "m", &zero, sizeof(zero)), 0);
        uv_close((uv_handle_t *)timer, NULL);
}

TEST(a_handle_that_a_callback_closes_and_connects_is_followed)
{
        struct room room;
        uv_timer_t timer;

        open_room(&room);
        start(&room.there);
        uv_run(&room.loop, UV_RUN_NOWAIT);
        CHECK_EQ(uv_timer_init(&room.loop, &timer), 0);
        timer.data = &room.there;
        CHECK_EQ(uv_timer_start(&timer, change_over, 0, 0), 0);
        while (!room.there.received)
                uv_run(&room.loop, UV_RUN_ONCE);
        baton_uv_stop(&room.there.u, NULL);
        close_room(&room);
}
