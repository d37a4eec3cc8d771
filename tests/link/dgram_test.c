/* Publishing without a connection: what comes is the datagram and who sent it, and nothing else. */
#include "proto/link/dgram.h"

#include "tests/link/listening.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A listener at "s" of the room, and what came there. */
struct inbox {
        struct listener *listener;
        struct graveyard yard;
        uint8_t buf[LINK_PACKET_BYTES];
        size_t len;
        struct cred sender;
};

static void open_inbox(struct inbox *in)
{
        room_enter();
        *in = (struct inbox){.listener = open_listener("dgram:./s")};
}

static void close_inbox(struct inbox *in)
{
        listener_close(in->listener);
        CHECK_NULL(graveyard_take(&in->yard));
        room_leave();
}

static int take(struct inbox *in)
{
        return dgram_recv(in->listener, &in->yard, in->buf, sizeof(in->buf), &in->len, &in->sender);
}

static void check_taken(struct inbox *in, const char *text)
{
        CHECK_EQ(take(in), 0);
        CHECK_EQ(in->len, strlen(text));
        CHECK_BYTES(in->buf, text, in->len);
        CHECK_EQ(in->sender.pid, getpid());
        CHECK_EQ(in->sender.uid, geteuid());
        CHECK_EQ(in->sender.gid, getegid());
}

static struct dgram *sender(void)
{
        struct address a = client_address("dgram:./s");
        struct link_why why = {""};
        struct dgram *d = NULL;
        int r = dgram_connect(&a, &d, &why);

        if (r)
                fail_msg("%d %s", r, why.text);
        return d;
}

/* A socket that knows nothing of Baton, connected to the inbox. */
static int stranger(void)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
        int fd = raw_socket(SOCK_DGRAM);

        CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        return fd;
}

TEST(a_datagram_arrives_with_who_sent_it)
{
        struct inbox in;

        open_inbox(&in);
        struct dgram *d = sender();
        CHECK_EQ(take(&in), LINK_E_AGAIN);
        CHECK_EQ(dgram_send(d, "one", 3), 0);
        CHECK_EQ(dgram_send(d, "two", 3), 0);
        check_taken(&in, "one");
        check_taken(&in, "two");
        CHECK_EQ(take(&in), LINK_E_AGAIN);
        dgram_free(d);
        close_inbox(&in);
}

static int sendto_and_exit(void *context)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        (void)context;
        return fd < 0 || sendto(fd, "hi", 2, 0, (struct sockaddr *)&addr, sizeof(addr)) != 2;
}

TEST(each_datagram_has_its_own_sender)
{
        pid_t pids[3];
        struct inbox in;

        open_inbox(&in);
        for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
                pids[i] = spawn(sendto_and_exit, NULL);
                CHECK_EQ(reap(pids[i]), 0); /* and is no more when its datagram is received */
        }
        for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
                CHECK_EQ(take(&in), 0);
                CHECK_EQ(in.len, 2);
                CHECK_EQ(in.sender.pid, pids[i]);
                CHECK_EQ(in.sender.uid, geteuid());
        }
        close_inbox(&in);
}

TEST(the_longest_packet_fits_and_a_longer_one_is_refused)
{
        static uint8_t out[LINK_PACKET_BYTES + 1];
        struct inbox in;

        open_inbox(&in);
        fill(out, sizeof(out));
        struct dgram *d = sender();
        CHECK_EQ(dgram_send(d, out, LINK_PACKET_BYTES), 0);
        CHECK_EQ(take(&in), 0);
        CHECK_EQ(in.len, LINK_PACKET_BYTES);
        CHECK_BYTES(in.buf, out, in.len);
        CHECK_EQ(dgram_send(d, out, sizeof(out)), LINK_E_TOO_BIG);
        CHECK_EQ(take(&in), LINK_E_AGAIN);
        dgram_free(d);
        close_inbox(&in);
}

TEST(what_is_empty_or_too_long_is_passed_over)
{
        static uint8_t out[LINK_PACKET_BYTES + 1];
        struct inbox in;

        open_inbox(&in);
        int fd = stranger();
        CHECK_EQ(send(fd, "", 0, 0), 0);
        CHECK_EQ(send(fd, out, sizeof(out), 0), sizeof(out));
        raw_send(fd, "good");
        in.len = 99;
        in.sender.pid = -1;
        CHECK_EQ(take(&in), LINK_E_BROKEN);
        CHECK_EQ(take(&in), LINK_E_BROKEN);
        CHECK_EQ(in.len, 99);
        CHECK_EQ(in.sender.pid, getpid()); /* whose fault it is */
        check_taken(&in, "good");
        close(fd);
        close_inbox(&in);
}

TEST(descriptors_are_refused)
{
        struct inbox in;

        if (!kernel_can_refuse())
                TEST_SKIP("this kernel cannot refuse descriptors (Linux 6.16)");
        open_inbox(&in);
        int fd = stranger();
        CHECK_EQ(raw_send_fds(fd, "x", 1, 1), -1);
        CHECK_EQ(errno, EPERM);
        CHECK_EQ(take(&in), LINK_E_AGAIN);
        close(fd);
        close_inbox(&in);
}

TEST(descriptors_that_come_none_the_less_are_laid_on_the_yard)
{
        struct inbox in;
        int on = 1;

        open_inbox(&in);
        int fd = stranger();
        /* As kernels do that cannot refuse. */
        (void)!setsockopt(
                listener_fd(in.listener), SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &on, sizeof(on));
        CHECK_EQ(raw_send_fds(fd, "x", 1, 3), 1);
        CHECK_EQ(raw_send_fds(fd, "", 0, FDSET_MAX), 0);
        raw_send(fd, "good");
        CHECK_EQ(take(&in), LINK_E_BROKEN);
        CHECK_EQ(yard_bury(&in.yard), 3);
        CHECK_EQ(take(&in), LINK_E_BROKEN);
        CHECK_EQ(yard_bury(&in.yard), FDSET_MAX);
        check_taken(&in, "good");
        CHECK_EQ(raw_send_fds(fd, "x", 1, 3), 1);
        limit_fds(0); /* none can be had, and still it had some */
        CHECK_EQ(take(&in), LINK_E_BROKEN);
        limit_fds(-1);
        close(fd);
        close_inbox(&in);
}

static bool has_room(struct dgram *d)
{
        struct pollfd p = {.fd = dgram_fd(d), .events = POLLOUT};

        return poll(&p, 1, 0) == 1;
}

TEST(a_full_receiver_never_makes_its_sender_wait)
{
        static const uint8_t out[LINK_PACKET_BYTES];
        static const size_t sizes[] = {1, sizeof(out)}; /* its queue is full, or our buffer */
        struct inbox in;

        open_inbox(&in);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct dgram *d = sender();
                size_t n = 0;
                int r;
                CHECK(has_room(d));
                while ((r = dgram_send(d, out, sizes[i])) == 0)
                        n++;
                CHECK_EQ(r, LINK_E_AGAIN);
                CHECK(n > 0);
                CHECK(!has_room(d));
                while (n--) {
                        CHECK_EQ(take(&in), 0);
                        CHECK_EQ(in.len, sizes[i]);
                }
                CHECK_EQ(take(&in), LINK_E_AGAIN); /* what was refused is not there */
                CHECK(has_room(d));
                CHECK_EQ(dgram_send(d, "x", 1), 0);
                check_taken(&in, "x");
                dgram_free(d);
        }
        close_inbox(&in);
}

TEST(a_receiver_that_is_gone_is_told_and_the_next_must_be_connected_to)
{
        struct inbox in;

        open_inbox(&in);
        struct dgram *d = sender();
        CHECK_EQ(dgram_send(d, "lost", 4), 0);
        listener_close(in.listener);
        CHECK(has_room(d)); /* poll tells */
        CHECK_EQ(dgram_send(d, "x", 1), LINK_E_GONE);
        CHECK_EQ(dgram_send(d, "x", 1), LINK_E_GONE);
        check_unreachable("dgram:./s", LINK_E_ABSENT, "no such socket (is the broker running?)");
        in.listener = open_listener("dgram:./s");
        CHECK_EQ(dgram_send(d, "x", 1), LINK_E_GONE);
        dgram_free(d);
        d = sender();
        CHECK_EQ(dgram_send(d, "y", 1), 0);
        check_taken(&in, "y");
        dgram_free(d);
        close_inbox(&in);
}

TEST(neither_a_client_nor_another_broker_disturbs_a_receiver)
{
        struct pollfd p;
        struct inbox in;

        open_inbox(&in);
        CHECK_EQ(unlink("s.lock"), 0); /* so that the socket itself is asked */
        check_refused("dgram:./s", LISTENER_E_TAKEN, "a live broker serves it");
        check_refused("./s", LISTENER_E_TAKEN, "another type of socket");
        check_unreachable("./s", LINK_E_WRONG_TYPE, "another type of socket: use dgram:./s");
        check_reachable("dgram:./s");
        p = (struct pollfd){.fd = listener_fd(in.listener), .events = POLLIN};
        CHECK_EQ(poll(&p, 1, 0), 0);
        CHECK_EQ(take(&in), LINK_E_AGAIN);
        close_inbox(&in);
}

TEST(a_receiver_that_hears_one_sender_only_is_not_taken_for_a_dead_one)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "one"};

        room_enter();
        int one = raw_bind(SOCK_DGRAM, "one"), fd = raw_bind(SOCK_DGRAM, "s");
        CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        check_refused("dgram:./s", LISTENER_E_UNSAFE, "may not be connected to");
        check_unreachable("dgram:./s", LINK_E_DENIED, "permission denied");
        CHECK(is_there("s"));
        close(one);
        close(fd);
        room_leave();
}

TEST(the_file_must_belong_to_whom_the_address_expects)
{
        struct address a = client_address("dgram:./s?uid=0");
        struct link_why why = {""};
        struct dgram *d = NULL;
        struct inbox in;

        open_inbox(&in);
        a.uid = geteuid();
        CHECK_EQ(dgram_connect(&a, &d, &why), 0);
        d = dgram_free(d);
        a.uid = geteuid() + 1;
        CHECK_EQ(dgram_connect(&a, &d, &why), LINK_E_UNTRUSTED);
        CHECK_PTR(strstr(why.text, "its file belongs to uid "));
        CHECK_PTR(strstr(why.text, ", expected uid "));
        CHECK_NULL(d);
        close_inbox(&in);
}

TEST(a_listener_for_datagrams_accepts_nobody)
{
        struct inbox in;
        int fd = -1;

        open_inbox(&in);
        CHECK_EQ(listener_accept(in.listener, &fd), -EOPNOTSUPP);
        CHECK_EQ(fd, -1);
        close_inbox(&in);
}
