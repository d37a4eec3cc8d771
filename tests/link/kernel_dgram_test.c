/* The behaviour of Linux that proto/link/dgram.c is built on, one fact a test; see
 * kernel_facts_test.c. */
#include "tests/link/support.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A receiver at the path "s" of the room, and a sender connected to it; nonblocking. */
struct two {
        int receiver, sender;
};

static int connected(void)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
        int fd = raw_socket(SOCK_DGRAM | SOCK_NONBLOCK);

        CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        return fd;
}

static void open_two(struct two *t)
{
        room_enter();
        t->receiver = raw_bind(SOCK_DGRAM | SOCK_NONBLOCK, "s");
        t->sender = connected();
}

static void close_two(struct two *t)
{
        close(t->sender);
        close(t->receiver);
        room_leave();
}

static int send_errno(int fd)
{
        return send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
}

static short ready(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

        CHECK(poll(&p, 1, 0) >= 0);
        return p.revents;
}

TEST(connecting_is_not_seen_by_the_receiver)
{
        struct two t;

        open_two(&t);
        CHECK(!(ready(t.receiver) & POLLIN));
        CHECK_EQ(raw_recv_errno(t.receiver), EAGAIN);
        close_two(&t);
}

TEST(nobody_knows_who_receives)
{
        struct cred who;
        struct two t;

        open_two(&t);
        CHECK_EQ(cred_of_peer(t.sender, &who), 0);
        CHECK_EQ(who.pid, 0);
        CHECK_EQ(who.uid, (uid_t)-1);
        close_two(&t);
}

/* net.unix.max_dgram_qlen + 1 of them, of all senders together. */
TEST(a_full_receiver_says_again_and_poll_says_when_it_is_not)
{
        struct two t;
        size_t n = 0;

        open_two(&t);
        CHECK(ready(t.sender) & POLLOUT);
        while (send_errno(t.sender) == 0)
                n++;
        CHECK(n > 0);
        CHECK_EQ(errno, EAGAIN);
        CHECK(!(ready(t.sender) & POLLOUT));
        int other = connected();
        CHECK_EQ(send_errno(other), EAGAIN);
        close(other);
        raw_recv(t.receiver, "x");
        CHECK(ready(t.sender) & POLLOUT);
        CHECK_EQ(send_errno(t.sender), 0);
        close_two(&t);
}

TEST(a_receiver_that_is_gone_refuses_once_and_is_forgotten)
{
        struct two t;

        open_two(&t);
        CHECK_EQ(send_errno(t.sender), 0); /* and is lost */
        close(t.receiver);
        CHECK(ready(t.sender) & POLLOUT);
        CHECK_EQ(send_errno(t.sender), ECONNREFUSED);
        CHECK_EQ(send_errno(t.sender), ENOTCONN);
        CHECK_EQ(unlink("s"), 0);
        t.receiver = raw_bind(SOCK_DGRAM, "s");
        CHECK_EQ(send_errno(t.sender), ENOTCONN);
        close_two(&t);
}

/* The send buffer is the limit, as in F4; the receiver's has no say. */
TEST(the_longest_datagram_is_the_senders_buffer_less_32_bytes)
{
        static char out[212992 - 32 + 1], in[sizeof(out)];
        struct two t;
        int half = 212992 / 2, none = 0;

        open_two(&t);
        CHECK_EQ(setsockopt(t.sender, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)), 0);
        CHECK_EQ(setsockopt(t.receiver, SOL_SOCKET, SO_RCVBUF, &none, sizeof(none)), 0);
        CHECK_EQ(send(t.sender, out, sizeof(out), 0), -1);
        CHECK_EQ(errno, EMSGSIZE);
        CHECK_EQ(send(t.sender, out, sizeof(out) - 1, 0), sizeof(out) - 1);
        CHECK_EQ(recv(t.receiver, in, sizeof(in), 0), sizeof(out) - 1);
        close_two(&t);
}

/* A receiver that has connected itself to one sender refuses all others. */
TEST(a_receiver_may_hear_one_sender_only)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "other"};
        struct sockaddr_un back = {.sun_family = AF_UNIX, .sun_path = "s"};
        struct two t;

        open_two(&t);
        int other = raw_bind(SOCK_DGRAM, "other"), fd = raw_socket(SOCK_DGRAM);
        CHECK_EQ(connect(t.receiver, (struct sockaddr *)&addr, sizeof(addr)), 0);
        CHECK_EQ(connect(fd, (struct sockaddr *)&back, sizeof(back)), -1);
        CHECK_EQ(errno, EPERM);
        close(fd);
        close(other);
        close_two(&t);
}
