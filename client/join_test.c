/* Connecting in an event loop. */
#include "client/fake_house.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_connected(baton *b, int result, const char *text, void *arg)
{
        struct house *h = arg;

        (void)b;
        note(&h->notes, "connected %d;", result);
        snprintf(h->text, sizeof(h->text), "%s", text);
}

TEST(an_event_loop_connects_without_waiting)
{
        struct house h;

        house_open(&h);
        house_enter(&h);
        CHECK_EQ(baton_fd(h.f.b), -1);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, on_connected, &h), 0);
        CHECK(!baton_is_connected(h.f.b));
        CHECK_EQ(baton_timeout(h.f.b), 0);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, on_connected, &h), -EISCONN);
        CHECK_EQ(baton_connect(h.f.b, h.address, -1), -EISCONN);
        CHECK_EQ(baton_publish(h.f.b, "t", "", 0), -ENOTCONN);
        CHECK_EQ(baton_process(h.f.b), 0);
        CHECK(baton_fd(h.f.b) >= 0);
        CHECK_EQ(baton_events(h.f.b), POLLIN);
        CHECK_EQ(h.notes.len, 0);
        house_await(&h, "connected 0;");
        CHECK(baton_is_connected(h.f.b));
        CHECK_STR(baton_address(h.f.b), h.address);
        CHECK_EQ(baton_broker(h.f.b).uid, geteuid());
        house_close(&h);
}

TEST(a_failed_connect_is_told_once)
{
        struct house h;

        house_open(&h);
        CHECK_EQ(baton_connect_start(h.f.b, "nonsense", -1, on_connected, &h), -EINVAL);
        CHECK_EQ(baton_connect_start(h.f.b, "./nobody", -1, on_connected, &h), 0);
        house_await(&h, "connected -111;");
        CHECK(strstr(h.text, "./nobody: "));
        CHECK_EQ(baton_fd(h.f.b), -1);
        CHECK_EQ(baton_process(h.f.b), -ENOTCONN);
        house_close(&h);
}

TEST(a_broker_that_does_not_greet_is_left_when_the_time_is_up)
{
        struct house h;

        house_open(&h);
        house_enter(&h);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, 20, on_connected, &h), 0);
        while (h.notes.len == 0) {
                struct pollfd pfd = {.fd = baton_fd(h.f.b), .events = baton_events(h.f.b)};
                CHECK(poll(&pfd, pfd.fd >= 0, baton_timeout(h.f.b)) >= 0);
                CHECK_EQ(baton_process(h.f.b), 0);
        }
        CHECK_STR(h.notes.text, "connected -110;");
        house_close(&h);
}

TEST(between_two_descriptors_there_is_none)
{
        struct message later;
        struct house h;

        house_open(&h);
        house_enter(&h);
        CHECK_EQ(
                baton_connect_start(h.f.b, "./broker.sock,./broker.sock", -1, on_connected, &h), 0);
        later = house_welcome(&h);
        later.welcome.version = 99;
        house_turn(&h, later); /* says HELLO */
        CHECK(baton_fd(h.f.b) >= 0);
        house_turn(&h, later); /* is answered, by a broker that will not do */
        CHECK_EQ(baton_fd(h.f.b), -1);
        CHECK_EQ(baton_timeout(h.f.b), 0);
        h.f.link = link_free(h.f.link);
        h.f.at = h.f.end = NULL;
        house_await(&h, "connected 0;");
        house_close(&h);
}

TEST(closing_or_freeing_ends_it)
{
        struct house h;

        house_open(&h);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, on_connected, &h), 0);
        CHECK_EQ(baton_close(h.f.b, 0), 0);
        CHECK_STR(h.notes.text, "connected -107;");
        h.notes.len = 0;
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, on_connected, &h), 0);
        h.f.b = baton_free(h.f.b);
        CHECK_STR(h.notes.text, "connected -107;");
        house_close(&h);
}

static void on_connected_free(baton *b, int result, const char *text, void *arg)
{
        on_connected(b, result, text, arg);
        ((struct house *)arg)->f.b = baton_free(b);
}

TEST(the_handle_may_be_freed_when_it_is_told)
{
        struct house h;

        house_open(&h);
        CHECK_EQ(baton_connect_start(h.f.b, h.address, -1, on_connected_free, &h), 0);
        while (h.f.b) {
                int r = baton_process(h.f.b);
                (void)r;
        }
        CHECK_STR(h.notes.text, "connected -111;");
        house_close(&h);
}
