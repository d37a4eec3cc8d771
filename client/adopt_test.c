/* Sockets that somebody else has connected: baton_connect_fd, $BATON_FD. */
#include "client/fake_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The fake has one end, with its greeting sent; the other is not close-on-exec, as if inherited. */
static int open_pair(struct fake *f, int type)
{
        enum transport t = type == SOCK_STREAM ? TRANSPORT_STREAM : TRANSPORT_SEQPACKET;
        int fds[2];

        memset(f, 0, sizeof(*f));
        CHECK_EQ(baton_new(&f->b), 0);
        CHECK_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
        CHECK_EQ(link_new_adopt(fds[1], t, NULL, &f->link), 0);
        fake_say(f, fake_welcome(FAKE_WINDOW, FAKE_RIGHTS));
        fake_send(f);
        return fds[0];
}

static void set_env(int fd)
{
        char text[16];

        snprintf(text, sizeof(text), "%d", fd);
        CHECK_EQ(setenv("BATON_FD", text, 1), 0);
}

static void check_address(const struct fake *f, int fd)
{
        char text[16];

        snprintf(text, sizeof(text), "fd:%d", fd);
        CHECK_STR(baton_address(f->b), text);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        CHECK_EQ(baton_broker(f->b).uid, geteuid());
        CHECK_EQ(baton_broker(f->b).pid, getpid());
}

static void talk(int type)
{
        struct notes notes = {.len = 0};
        struct cred cred;
        struct fake f;
        int fd = open_pair(&f, type);

        CHECK_EQ(baton_connect_fd(f.b, fd, 1000), 0);
        check_address(&f, fd);
        /* HELLO said who we are, though nobody asked yet; the rest does not. */
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        CHECK_EQ(link_ask_cred(f.link, true), 0);
        (void)fake_expect(&f, WIRE_HELLO);
        CHECK(link_find_cred(f.link, &cred));
        CHECK_EQ(cred.pid, getpid());
        CHECK_EQ(cred.uid, geteuid());
        (void)fake_expect(&f, WIRE_PUB);
        CHECK(!link_find_cred(f.link, &cred) || cred.pid == 0);
        uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
        fake_deliver(&f, 1, sub, "a", "1");
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(baton_connect_fd(f.b, open("/dev/null", O_RDONLY), 0), -EISCONN);
        fake_close(&f);
        CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(a_connected_pair_of_records_is_a_connection)
{
        talk(SOCK_SEQPACKET);
}

TEST(a_connected_pair_of_streams_is_a_connection)
{
        talk(SOCK_STREAM);
}

TEST(what_is_no_connected_socket_is_closed_and_told)
{
        struct sockaddr addr = {.sa_family = AF_UNIX};
        int pair[2];
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        CHECK_EQ(baton_connect_fd(b, -1, 0), -EINVAL);
        CHECK_EQ(baton_connect_fd(b, open("/dev/null", O_RDONLY), 0), -EINVAL);
        CHECK(strstr(baton_error(b), "not a connected AF_UNIX socket"));
        CHECK_EQ(baton_connect_fd(b, socket(AF_UNIX, SOCK_SEQPACKET, 0), 0), -EINVAL);
        CHECK_EQ(baton_connect_fd(b, socket(AF_INET, SOCK_STREAM, 0), 0), -EINVAL);
        CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
        CHECK_EQ(baton_connect_fd(b, pair[0], 0), -EINVAL);
        close(pair[1]);
        int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        CHECK_EQ(bind(listener, &addr, sizeof(addr.sa_family)), 0);
        CHECK_EQ(listen(listener, 1), 0);
        CHECK(baton_connect_fd(b, listener, 0) < 0);
        CHECK(!baton_is_connected(b));
        CHECK_NULL(baton_free(b));
}

TEST(a_broker_that_closes_or_refuses_is_told_by_the_address)
{
        struct fake f;
        int fd = open_pair(&f, SOCK_SEQPACKET);

        f.link = link_free(f.link);
        /* The greeting had been sent. */
        CHECK_EQ(baton_connect_fd(f.b, fd, 1000), 0);
        fake_close(&f);
        int pair[2];
        CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        close(pair[1]);
        CHECK_EQ(baton_new(&f.b), 0);
        CHECK_EQ(baton_connect_fd(f.b, pair[0], 1000), -ECONNREFUSED);
        CHECK(strstr(baton_error(f.b), "the broker closed the connection"));
        CHECK(!strncmp(baton_error(f.b), "fd:", 3));
        CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        CHECK_EQ(baton_connect_fd(f.b, pair[0], 1), -ETIMEDOUT);
        close(pair[1]);
        CHECK_NULL(baton_free(f.b));
}

TEST(the_environment_names_a_socket_that_serves_once)
{
        struct fake f;
        int fd = open_pair(&f, SOCK_SEQPACKET);
        baton *second;

        set_env(fd);
        CHECK_EQ(setenv("BATON_ADDRESS", "@nobody", 1), 0);
        CHECK_EQ(baton_connect(f.b, NULL, 1000), 0);
        check_address(&f, fd);
        CHECK_EQ(baton_new(&second), 0);
        CHECK_EQ(baton_connect(second, NULL, 1000), -EBUSY);
        CHECK(strstr(baton_error(second), "is in use already"));
        /* It was left alone. */
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        /* An address that is given is the one that is meant. */
        CHECK_EQ(baton_connect(second, "@nobody", 1000), -ECONNREFUSED);
        fake_close(&f);
        CHECK_EQ(baton_connect(second, NULL, 1000), -EINVAL);
        CHECK(strstr(baton_error(second), "is not open"));
        CHECK_NULL(baton_free(second));
        CHECK_EQ(unsetenv("BATON_FD"), 0);
        CHECK_EQ(unsetenv("BATON_ADDRESS"), 0);
}

TEST(a_malformed_number_in_the_environment_is_told)
{
        static const char *const bad[] = {
                "x", "-1", " 3", "3 ", "0x3", "3.0", "99999999999999999", "2147483648", "+3"};
        baton *b;

        CHECK_EQ(baton_new(&b), 0);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                CHECK_EQ(setenv("BATON_FD", bad[i], 1), 0);
                CHECK_EQ(baton_connect(b, NULL, 0), -EINVAL);
                CHECK(strstr(baton_error(b), "BATON_FD"));
        }
        /* Nothing is said by an empty one. */
        CHECK_EQ(setenv("BATON_FD", "", 1), 0);
        CHECK_EQ(setenv("BATON_ADDRESS", "@nobody", 1), 0);
        CHECK_EQ(baton_connect(b, NULL, 0), -ECONNREFUSED);
        CHECK_EQ(unsetenv("BATON_FD"), 0);
        CHECK_EQ(unsetenv("BATON_ADDRESS"), 0);
        CHECK_NULL(baton_free(b));
}
