/* How it ends, in every order, and how it goes on over another descriptor. */
#include "client/uv/stage.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- the end */

TEST(the_loss_is_told_once_behind_what_came_before_and_the_loop_ends)
{
        struct stage s;

        open_stage(&s);
        deliver(&s, "1");
        s.f.link = link_free(s.f.link);
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=1;end -107;");
        CHECK_STR(baton_error(s.f.b), "@fake: the broker is gone");
        baton_uv_stop(&s.u, note_stopped);
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=1;end -107;stopped;");
        close_stage(&s);
}

TEST(the_handle_may_be_freed_in_a_callback_that_has_stopped_the_adapter)
{
        struct stage s;

        open_stage(&s);
        deliver(&s, "both");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=both;stopped;");
        close_stage(&s);
}

static void stop_and_free(uv_timer_t *timer)
{
        struct stage *s = timer->data;

        baton_uv_stop(&s->u, note_stopped);
        baton_uv_stop(&s->u, NULL);
        s->f.b = baton_free(s->f.b);
        close_timer(timer);
}

TEST(the_handle_may_be_freed_as_soon_as_the_adapter_was_stopped)
{
        struct stage s;
        uv_timer_t timer;

        open_stage(&s);
        call_soon(&s, &timer, stop_and_free);
        run_loop(&s);
        CHECK_STR(s.notes.text, "stopped;");
        close_stage(&s);
}

TEST(a_handle_that_a_callback_frees_without_a_word_lets_the_adapter_rest)
{
        struct stage s;

        open_stage(&s);
        deliver(&s, "free");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=free;");
        close_stage(&s);
}

static void free_alone(uv_timer_t *timer)
{
        struct stage *s = timer->data;

        s->f.b = baton_free(s->f.b);
        CHECK_NULL(s->u.b);
        close_timer(timer);
}

TEST(a_handle_that_is_freed_anywhere_lets_the_adapter_rest)
{
        struct stage s;
        uv_timer_t timer;

        open_stage(&s);
        call_soon(&s, &timer, free_alone);
        run_loop(&s);
        CHECK_STR(s.notes.text, "");
        baton_uv_resume(&s.u);
        baton_uv_stop(&s.u, note_stopped);
        run_loop(&s);
        CHECK_STR(s.notes.text, "stopped;");
        close_stage(&s);
}

TEST(an_adapter_that_is_not_counted_does_not_keep_the_loop_running)
{
        struct stage s;

        open_stage(&s);
        baton_uv_unref(&s.u);
        run_loop(&s);
        baton_uv_ref(&s.u);
        CHECK(uv_loop_alive(&s.loop));
        close_stage(&s);
}

TEST(a_handle_that_is_not_connected_is_waited_for)
{
        struct stage s = {.notes.len = 0};

        CHECK_EQ(uv_loop_init(&s.loop), 0);
        CHECK_EQ(baton_new(&s.f.b), 0);
        baton_uv_start(&s.u, &s.loop, s.f.b, note_end, &s);
        for (int i = 0; i < 10; i++)
                CHECK(uv_run(&s.loop, UV_RUN_NOWAIT));
        CHECK_STR(s.notes.text, "");
        close_stage(&s);
}

/* ---------------------------------------------------------------- the next descriptor */

/* Connects the handle again, over another pair of sockets. */
static void connect_again(struct stage *s)
{
        struct message welcome = fake_welcome(FAKE_WINDOW, FAKE_RIGHTS);
        struct link *link;
        int fds[2];

        welcome.welcome.session++; /* none is used again */
        s->f.link = link_free(s->f.link);
        s->f.at = s->f.end = NULL;
        CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        CHECK_EQ(link_new_adopt(fds[0], TRANSPORT_SEQPACKET, NULL, &link), 0);
        CHECK_EQ(link_new_adopt(fds[1], TRANSPORT_SEQPACKET, NULL, &s->f.link), 0);
        fake_say(&s->f, welcome);
        fake_send(&s->f);
        CHECK_EQ(handle_adopt_link(s->f.b, link, "@fake", 1000), 0);
        (void)fake_expect(&s->f, WIRE_HELLO);
        subscribe(s);
}

static void connect_and_resume(struct baton_uv *u, int result, void *arg)
{
        struct stage *s = arg;

        note(&s->notes, "end %d;", result);
        connect_again(s);
        deliver(s, "again");
        deliver(s, "stop");
        baton_uv_resume(u);
}

TEST(a_handle_that_was_connected_again_goes_on)
{
        struct stage s;

        open_stage(&s);
        s.u.on_end = connect_and_resume;
        s.f.link = link_free(s.f.link);
        run_loop(&s);
        CHECK_STR(s.notes.text, "end -107;m=again;m=stop;stopped;");
        close_stage(&s);
}

static void change_connection(uv_timer_t *timer)
{
        struct stage *s = timer->data;
        int number = baton_fd(s->f.b);

        s->f.link = link_free(s->f.link);
        CHECK_EQ(baton_process(s->f.b), -ENOTCONN);
        CHECK_EQ(baton_fd(s->f.b), -1);
        connect_again(s);
        CHECK_EQ(baton_fd(s->f.b), number);
        deliver(s, "other");
        close_timer(timer);
}

static bool is_same_file(int a, int b)
{
        struct stat one, other;

        CHECK_EQ(fstat(a, &one), 0);
        CHECK_EQ(fstat(b, &other), 0);
        return one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

TEST(another_connection_under_the_number_of_the_old_one_is_noticed)
{
        struct stage s;
        uv_timer_t timer;

        open_stage(&s);
        uv_run(&s.loop, UV_RUN_NOWAIT);
        CHECK(is_same_file(s.u.fd, baton_fd(s.f.b)));
        call_soon(&s, &timer, change_connection);
        while (!s.notes.len)
                uv_run(&s.loop, UV_RUN_ONCE);
        CHECK(is_same_file(s.u.fd, baton_fd(s.f.b)));
        deliver(&s, "stop");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=other;m=stop;stopped;");
        close_stage(&s);
}

TEST(without_a_descriptor_to_watch_with_messages_come_all_the_same)
{
        struct rlimit old, none;
        struct stage s;

        open_stage(&s);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
        none = old;
        none.rlim_cur = 0;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        deliver(&s, "blind");
        while (!s.notes.len)
                uv_run(&s.loop, UV_RUN_ONCE);
        CHECK_EQ(s.u.fd, -1);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
        uv_run(&s.loop, UV_RUN_NOWAIT);
        CHECK(s.u.fd >= 0);
        deliver(&s, "stop");
        run_loop(&s);
        CHECK_STR(s.notes.text, "m=blind;m=stop;stopped;");
        close_stage(&s);
}
