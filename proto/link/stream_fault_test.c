/* What the kernel, and the memory, can answer a stream: see fault_test.c. Here sendmsg also takes
 * as many bytes as it is told to, and malloc fails. */
#include "proto/link/link.h"

#include "tests/harness/test.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 5 };

static struct {
        int error;     /* of the next sendmsg or recvmsg, 0: none */
        size_t most;   /* bytes that one sendmsg takes, 0: all */
        int mallocs;   /* so many succeed, then one fails; below 0: all succeed */
        size_t n_cmsg; /* calls of sendmsg that carried a control message */
} fault = {.mallocs = -1};

static void set_fault(int error, size_t most)
{
        fault.error = error;
        fault.most = most;
        fault.mallocs = -1;
}

static bool fails(void)
{
        errno = fault.error;
        fault.error = 0;
        return errno;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
        struct msghdr part = *msg;
        struct iovec iov[8];
        size_t left = fault.most ? fault.most : SIZE_MAX;

        if (fails())
                return -1;
        CHECK(msg->msg_iovlen <= ARRAY_LEN(iov));
        for (size_t i = 0; i < msg->msg_iovlen; i++) {
                iov[i] = msg->msg_iov[i];
                iov[i].iov_len = size_min(left, iov[i].iov_len);
                left -= iov[i].iov_len;
        }
        part.msg_iov = iov;
        fault.n_cmsg += part.msg_controllen > 0;
        return __real_sendmsg(fd, &part, flags);
}

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
        return fails() ? -1 : __real_recvmsg(fd, msg, flags);
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
        return fault.mallocs-- == 0 ? NULL : __real_malloc(n);
}

static void open_pair(struct link **ret_a, struct link **ret_b)
{
        int fds[2];

        set_fault(0, 0);
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        CHECK_EQ(link_new_adopt(fds[0], TRANSPORT_STREAM, NULL, ret_a), 0);
        CHECK_EQ(link_new_adopt(fds[1], TRANSPORT_STREAM, NULL, ret_b), 0);
}

static struct fdset *one_fd(void)
{
        struct fdset *set;
        int fd = dup(0);

        CHECK_EQ(fdset_new_take(&fd, 1, NULL, &set), 0);
        return set;
}

static int send_text(struct link *l, const char *text, const struct fdset *fds)
{
        struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};

        return link_send(l, &iov, 1, fdset_fds(fds), fdset_n(fds));
}

/* A packet of that text, or an outcome. */
static int take(struct link *l, const char *text, size_t n_fds)
{
        static char buf[LINK_PACKET_BYTES];
        struct fdset *fds = NULL;
        size_t len;
        int r = link_recv(l, buf, sizeof(buf), &len, &fds);

        if (r)
                return r;
        CHECK_EQ(len, strlen(text));
        CHECK_BYTES(buf, text, len);
        CHECK_EQ(fdset_n(fds), n_fds);
        fdset_unref(fds);
        return 0;
}

TEST(a_packet_that_goes_in_any_parts_arrives_with_its_descriptors_once)
{
        static const char text[] = "a packet in parts";
        size_t total = HEAD + strlen(text);
        struct fdset *set = one_fd();
        struct link *a, *b;

        open_pair(&a, &b);
        for (size_t first = 1; first < total; first++) {
                for (size_t rest = 1; rest <= total - first; rest++) {
                        set_fault(0, first);
                        fault.n_cmsg = 0;
                        CHECK_EQ(send_text(a, text, set), 0);
                        CHECK(link_is_unsent(a));
                        CHECK_EQ(take(b, "", 0), LINK_E_AGAIN);
                        set_fault(0, rest);
                        CHECK_EQ(link_flush(a), 0);
                        CHECK(!link_is_unsent(a));
                        CHECK_EQ(fault.n_cmsg, 1);
                        CHECK_EQ(take(b, text, 1), 0);
                        CHECK_EQ(take(b, "", 0), LINK_E_AGAIN);
                }
        }
        fdset_unref(set);
        link_free(a);
        link_free(b);
}

TEST(a_rest_stays_through_errors_that_pass)
{
        static const struct {
                int error, outcome;
        } rows[] = {
                {EAGAIN, LINK_E_AGAIN},
                {ENOBUFS, LINK_E_EXHAUSTED},
                {ENOMEM, LINK_E_EXHAUSTED},
                {EIO, -EIO},
        };
        struct link *a, *b;

        open_pair(&a, &b);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                set_fault(0, 7);
                CHECK_EQ(send_text(a, "in parts", NULL), 0);
                set_fault(rows[i].error, 0);
                CHECK_EQ(link_flush(a), rows[i].outcome);
                set_fault(rows[i].error, 0);
                CHECK_EQ(send_text(a, "next", NULL), rows[i].outcome);
                CHECK(link_is_unsent(a));
                set_fault(EINTR, 0);
                CHECK_EQ(send_text(a, "next", NULL), 0);
                CHECK(!link_is_unsent(a));
                CHECK_EQ(take(b, "in parts", 0), 0);
                CHECK_EQ(take(b, "next", 0), 0);
        }
        link_free(a);
        link_free(b);
}

TEST(a_rest_is_forgotten_when_the_peer_is_gone)
{
        static const int errors[] = {EPIPE, ECONNRESET, ENOTCONN};

        for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
                struct link *a, *b;
                open_pair(&a, &b);
                set_fault(0, 7);
                CHECK_EQ(send_text(a, "in parts", NULL), 0);
                set_fault(errors[i], 0);
                CHECK_EQ(link_flush(a), LINK_E_GONE);
                CHECK(!link_is_unsent(a));
                /* Half a packet is out: nothing may follow it, whatever the kernel says. */
                CHECK_EQ(send_text(a, "next", NULL), LINK_E_GONE);
                CHECK_EQ(take(b, "", 0), LINK_E_AGAIN);
                link_free(a);
                CHECK_EQ(take(b, "", 0), LINK_E_EOF);
                link_free(b);
        }
}

TEST(each_errno_of_a_first_send_has_its_outcome_and_leaves_nothing)
{
        static const struct {
                int error, plain, with_fds;
        } rows[] = {
                {EAGAIN, LINK_E_AGAIN, LINK_E_AGAIN},
                {EPIPE, LINK_E_GONE, LINK_E_GONE},
                {ENOBUFS, LINK_E_EXHAUSTED, LINK_E_EXHAUSTED},
                {ETOOMANYREFS, -ETOOMANYREFS, LINK_E_IN_FLIGHT},
                {EPERM, -EPERM, LINK_E_REFUSED},
                {EIO, -EIO, -EIO},
        };
        struct fdset *set = one_fd();
        struct link *a, *b;

        open_pair(&a, &b);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                set_fault(rows[i].error, 0);
                CHECK_EQ(send_text(a, "x", NULL), rows[i].plain);
                set_fault(rows[i].error, 0);
                CHECK_EQ(send_text(a, "x", set), rows[i].with_fds);
                CHECK(!link_is_unsent(a));
        }
        CHECK_EQ(send_text(a, "y", set), 0);
        CHECK_EQ(take(b, "y", 1), 0);
        fdset_unref(set);
        link_free(a);
        link_free(b);
}

TEST(an_errno_of_receive_loses_nothing_of_a_packet)
{
        static const struct {
                int error, outcome;
        } rows[] = {
                {EAGAIN, LINK_E_AGAIN}, {ENOMEM, -ENOMEM}, {EIO, -EIO}, {EINTR, 0},
                {ECONNRESET, 0}, /* those are passed over */
        };
        struct fdset *set = one_fd();
        struct link *a, *b;

        open_pair(&a, &b);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                for (size_t cut = 1; cut < HEAD + 8; cut++) {
                        set_fault(0, cut);
                        CHECK_EQ(send_text(a, "in parts", set), 0);
                        CHECK_EQ(take(b, "", 0), LINK_E_AGAIN);
                        set_fault(0, 0);
                        CHECK_EQ(link_flush(a), 0);
                        set_fault(rows[i].error, 0);
                        int r = take(b, "in parts", 1);
                        CHECK_EQ(r, rows[i].outcome);
                        if (r)
                                CHECK_EQ(take(b, "in parts", 1), 0);
                }
        }
        set_fault(ENOTCONN, 0);
        CHECK_EQ(take(b, "", 0), LINK_E_EOF);
        fdset_unref(set);
        link_free(a);
        link_free(b);
}

TEST(without_memory_for_a_link_its_socket_is_closed)
{
        struct link *l = NULL;
        int fds[2];

        for (int n = 0; n < 2; n++) {
                CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
                fault.mallocs = n;
                CHECK_EQ(link_new_adopt(fds[0], TRANSPORT_STREAM, NULL, &l), -ENOMEM);
                fault.mallocs = -1;
                CHECK_NULL(l);
                close(fds[1]);
        }
}

TEST(without_memory_to_keep_a_packet_it_is_not_begun)
{
        struct fdset *set = one_fd();
        struct link *a, *b;

        open_pair(&a, &b);
        fault.mallocs = 0;
        CHECK_EQ(send_text(a, "x", set), LINK_E_EXHAUSTED);
        CHECK_EQ(take(b, "", 0), LINK_E_AGAIN);
        CHECK_EQ(send_text(a, "y", set), 0);
        fault.mallocs = 1; /* for the set, but not for the body */
        CHECK_EQ(take(b, "", 0), -ENOMEM);
        CHECK_EQ(take(b, "y", 1), 0);
        fdset_unref(set);
        link_free(a);
        link_free(b);
}

TEST(descriptors_that_are_lost_for_want_of_memory_break_the_link)
{
        /* What is left of it looks like a packet, and is none. */
        struct iovec iov = {.iov_base = (char *)"\xce\0\0\0\1z", .iov_len = 6};
        struct fdset *set = one_fd();
        struct link *a, *b;

        open_pair(&a, &b);
        CHECK_EQ(link_send(a, &iov, 1, fdset_fds(set), 1), 0);
        fault.mallocs = 0;
        CHECK_EQ(take(b, "", 0), -ENOMEM);
        CHECK_EQ(take(b, "z", 0), LINK_E_BROKEN); /* and closed: the runner counts */
        fdset_unref(set);
        link_free(a);
        link_free(b);
}
