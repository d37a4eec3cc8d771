/* Receiving, waiting and publishing through the loop. */
#include "client/uv/stage.h"

#include <errno.h>

/* ---------------------------------------------------------------- receiving */

TEST(what_arrives_is_dispatched_by_the_loop)
{
        struct stage s;

        open_stage(&s);
        deliver(&s, "1");
        deliver(&s, "2");
        deliver(&s, "stop");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=1;m=2;m=stop;stopped;");
        close_stage(&s);
}

TEST(what_was_received_before_the_loop_began_is_dispatched)
{
        struct stage s;

        open_with(&s, 20);
        CHECK_EQ(baton_publish(s.f.b, "t", "12345678", 8), 0);
        deliver(&s, "stop");
        fake_say(&s.f, fake_credit(100));
        fake_send(&s.f);
        /* Waits for the window, and keeps what comes. */
        baton_set_nonblocking(s.f.b, false);
        CHECK_EQ(baton_publish(s.f.b, "t", "12345678", 8), 0);
        baton_set_nonblocking(s.f.b, true);
        CHECK_STR(s.notes.text, "");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=stop;stopped;");
        close_stage(&s);
}

static void count_turn(uv_check_t *check)
{
        ++*(size_t *)check->data;
}

static void stop_counting(uv_timer_t *timer)
{
        uv_close(timer->data, NULL);
        close_timer(timer);
}

TEST(a_handle_with_nothing_to_do_lets_the_loop_sleep)
{
        struct stage s;
        uv_timer_t timer;
        uv_check_t check;
        size_t turns = 0;

        open_stage(&s);
        baton_uv_unref(&s.u);
        CHECK_EQ(uv_check_init(&s.loop, &check), 0);
        check.data = &turns;
        CHECK_EQ(uv_check_start(&check, count_turn), 0);
        CHECK_EQ(uv_timer_init(&s.loop, &timer), 0);
        timer.data = &check;
        CHECK_EQ(uv_timer_start(&timer, stop_counting, 50, 0), 0);
        CHECK_EQ(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
        CHECK(turns > 0 && turns < 10);
        close_stage(&s);
}

static void note_done_and_stop(baton *b, int result, const char *text, void *arg)
{
        struct stage *s = arg;

        note_done(b, result, text, &s->notes);
        baton_uv_stop(&s->u, NULL);
}

TEST(a_deadline_of_the_handle_wakes_the_loop)
{
        struct baton_publication p = {.topic = "t"};
        struct stage s;

        open_stage(&s);
        CHECK_EQ(baton_request_start(s.f.b, &p, 1, NULL, note_done_and_stop, &s, NULL), 0);
        run_loop(&s);
        CHECK_STR(s.notes.text, "done -110;");
        close_stage(&s);
}

/* ---------------------------------------------------------------- publishing */

/* The broker reads, grants what it has read, and ends the test when it has all. */
static void read_peer(uv_poll_t *peer, int status, int events)
{
        struct stage *s = peer->data;

        (void)events;
        CHECK_EQ(status, 0);
        s->n_read += fake_skip(&s->f, WIRE_PUB);
        fake_refund(&s->f);
        if (s->n_read < s->n_wanted)
                return;
        uv_close((uv_handle_t *)peer, NULL);
        baton_uv_stop(&s->u, NULL);
}

static void read_in_loop(struct stage *s, size_t n_wanted)
{
        s->n_wanted = n_wanted;
        CHECK_EQ(uv_poll_init(&s->loop, &s->peer, link_fd(s->f.link)), 0);
        s->peer.data = s;
        CHECK_EQ(uv_poll_start(&s->peer, UV_READABLE, read_peer), 0);
}

static void publish_burst(uv_timer_t *timer)
{
        struct stage *s = timer->data;

        for (int i = 0; i < 50; i++)
                CHECK_EQ(baton_publish(s->f.b, "t", "x", 1), 0);
        close_timer(timer);
}

TEST(what_a_timer_publishes_leaves_without_a_further_call)
{
        struct stage s;
        uv_timer_t timer;

        open_stage(&s);
        read_in_loop(&s, 50);
        call_soon(&s, &timer, publish_burst);
        run_loop(&s);
        CHECK_EQ(s.n_read, 50);
        close_stage(&s);
}

static void publish_more(struct baton_uv *u, void *arg)
{
        struct stage *s = arg;
        char payload[1000] = "";
        int r = 0;

        while (s->n_sent < s->n_wanted &&
                (r = baton_publish(u->b, "t", payload, sizeof(payload))) == 0)
                s->n_sent++;
        if (s->n_sent == s->n_wanted)
                return;
        CHECK_EQ(r, -EAGAIN);
        note(&s->notes, ".");
        baton_uv_retry(u, publish_more);
}

TEST(a_publisher_that_the_window_stops_is_told_when_to_go_on)
{
        struct stage s;

        open_with(&s, 20000);
        read_in_loop(&s, 1000);
        publish_more(&s.u, &s);
        run_loop(&s);
        CHECK_EQ(s.n_read, 1000);
        CHECK(s.notes.len >= 10);
        close_stage(&s);
}

static void publish_last(struct baton_uv *u, void *arg)
{
        struct stage *s = arg;

        CHECK_EQ(baton_publish(u->b, "last", "", 0), 0);
        note(&s->notes, "went on;");
}

TEST(a_publisher_that_the_socket_stops_is_told_when_to_go_on)
{
        struct stage s;

        open_stage(&s);
        fake_fill(&s.f);
        baton_uv_retry(&s.u, publish_last);
        for (int i = 0; i < 10; i++)
                uv_run(&s.loop, UV_RUN_NOWAIT);
        CHECK_STR(s.notes.text, "");
        read_in_loop(&s, SIZE_MAX);
        while (!s.notes.len)
                uv_run(&s.loop, UV_RUN_ONCE);
        CHECK_STR(s.notes.text, "went on;");
        s.n_wanted = s.n_read + 1;
        run_loop(&s);
        close_stage(&s);
}
