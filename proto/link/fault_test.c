/* What the kernel can answer, errno by errno: the system calls are replaced (--wrap) by ones that
 * fail as told. */
#include "proto/link/dgram.h"
#include "proto/link/link.h"
#include "proto/link/listener.h"

#include "tests/harness/test.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The next calls fail with `error`, `left` times. */
static struct {
        int error, left, calls, recv_flags;
} fault;

static bool fails(void)
{
        fault.calls++;
        if (!fault.left)
                return false;
        fault.left--;
        errno = fault.error;
        return true;
}

static void set_fault(int error, int times)
{
        fault.error = error;
        fault.left = times;
        fault.calls = 0;
}

/* Declares both sides of a wrapper. */
#define WRAP(type, name, ...)            \
        type __real_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__)

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
        return fails() ? -1 : __real_sendmsg(fd, msg, flags);
}

WRAP(ssize_t, send, int fd, const void *data, size_t len, int flags)
{
        return fails() ? -1 : __real_send(fd, data, len, flags);
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags)
{
        fault.recv_flags = flags;
        return fails() ? -1 : __real_recvmsg(fd, msg, flags);
}

/* A portable build has the other one. */
WRAP(int, accept, int fd, struct sockaddr *addr, socklen_t *len)
{
        return fails() ? -1 : __real_accept(fd, addr, len);
}

WRAP(int, accept4, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
        return fails() ? -1 : __real_accept4(fd, addr, len, flags);
}

/* The mode of the file that the latest bind made, at that very moment. */
static mode_t bound_mode;

WRAP(int, bind, int fd, const struct sockaddr *addr, socklen_t len)
{
        int r = __real_bind(fd, addr, len);
        struct stat st;

        if (lstat(((const struct sockaddr_un *)addr)->sun_path, &st) == 0)
                bound_mode = st.st_mode & 07777;
        return r;
}

/* What is renamed to "d" the moment before the next connect. */
static const char *replacement;

WRAP(int, connect, int fd, const struct sockaddr *addr, socklen_t len)
{
        if (replacement)
                CHECK_EQ(rename(replacement, "d"), 0);
        replacement = NULL;
        return __real_connect(fd, addr, len);
}

/* The next malloc fails. */
static bool has_no_memory;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
        if (!has_no_memory)
                return __real_malloc(n);
        has_no_memory = false;
        return NULL;
}

static int send_with(struct link *l, int error, int times, const struct fdset *fds)
{
        struct iovec iov = {.iov_base = (char *)"x", .iov_len = 1};

        set_fault(error, times);
        return link_send(l, &iov, 1, fdset_fds(fds), fdset_n(fds));
}

typedef int (*recv_fn)(struct link *, void *, size_t, size_t *, struct fdset **);

static int recv_by(recv_fn fn, struct link *l, int error, int times)
{
        char buf[8];
        size_t len;
        struct fdset *fds;

        set_fault(error, times);
        int r = fn(l, buf, sizeof(buf), &len, &fds);
        if (r == 0)
                CHECK_EQ(len, 1);
        return r;
}

static int recv_with(struct link *l, int error, int times)
{
        return recv_by(link_recv, l, error, times);
}

TEST(each_errno_of_send_has_its_outcome)
{
        static const struct {
                int error, plain, with_fds;
        } rows[] = {
                {EAGAIN, LINK_E_AGAIN, LINK_E_AGAIN},
                {EPIPE, LINK_E_GONE, LINK_E_GONE},
                {ECONNRESET, LINK_E_GONE, LINK_E_GONE},
                {ENOTCONN, LINK_E_GONE, LINK_E_GONE},
                {ECONNREFUSED, LINK_E_GONE, LINK_E_GONE},
                {EMSGSIZE, LINK_E_TOO_BIG, LINK_E_TOO_BIG},
                {ENOBUFS, LINK_E_EXHAUSTED, LINK_E_EXHAUSTED},
                {ENOMEM, LINK_E_EXHAUSTED, LINK_E_EXHAUSTED},
                {ETOOMANYREFS, -ETOOMANYREFS, LINK_E_IN_FLIGHT},
                {EPERM, -EPERM, LINK_E_REFUSED},
                {EBADF, -EBADF, -EBADF},
                {EIO, -EIO, -EIO},
        };
        struct link *a, *b;
        struct fdset *set;
        int fd = dup(0);

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK_EQ(fdset_new_take(&fd, 1, NULL, &set), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                CHECK_EQ(send_with(a, rows[i].error, 1, NULL), rows[i].plain);
                CHECK_EQ(send_with(a, rows[i].error, 1, set), rows[i].with_fds);
        }
        fdset_unref(set);
        link_free(a);
        link_free(b);
}

TEST(an_interrupted_call_is_made_again)
{
        struct link *a, *b;

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK_EQ(send_with(a, EINTR, 3, NULL), 0);
        CHECK_EQ(fault.calls, 4);
        CHECK_EQ(recv_with(b, EINTR, 3), 0);
        CHECK_EQ(fault.calls, 4);
        link_free(a);
        link_free(b);
}

static void nothing(int signal)
{
        (void)signal;
}

/* Whoever has no handlers has not been interrupted: it was stopped, and went on. */
TEST(waiting_in_a_receive_ends_with_a_signal_where_there_are_handlers)
{
        struct sigaction act = {.sa_handler = nothing}, old;
        struct link *a, *b;

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK_EQ(recv_by(link_recv_wait, b, EINTR, 1), LINK_E_AGAIN);
        CHECK(fault.calls == 1 && !(fault.recv_flags & MSG_DONTWAIT));
        CHECK_EQ(sigaction(SIGUSR1, &act, &old), 0);
        CHECK_EQ(recv_by(link_recv_wait, b, EINTR, 1), -EINTR);
        CHECK_EQ(sigaction(SIGUSR1, &old, NULL), 0);
        CHECK_EQ(recv_by(link_recv_wait, b, EINTR, 1), LINK_E_AGAIN);
        CHECK_EQ(send_with(a, 0, 0, NULL), 0);
        CHECK_EQ(recv_by(link_recv_wait, b, ECONNRESET, 1), 0);
        CHECK_EQ(recv_with(b, EAGAIN, 1), LINK_E_AGAIN);
        CHECK(fault.recv_flags & MSG_DONTWAIT);
        link_free(a);
        link_free(b);
}

TEST(a_reset_before_data_is_passed_over_but_not_for_ever)
{
        struct link *a, *b;

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK_EQ(send_with(a, 0, 0, NULL), 0);
        CHECK_EQ(recv_with(b, ECONNRESET, 1), 0);
        CHECK_EQ(recv_with(b, ECONNRESET, 1), LINK_E_AGAIN);
        CHECK_EQ(recv_with(b, ECONNRESET, 1000), -ECONNRESET);
        CHECK(fault.calls < 10);
        link_free(a);
        link_free(b);
}

TEST(each_errno_of_receive_has_its_outcome)
{
        struct link *a, *b;

        CHECK_EQ(link_pair(NULL, NULL, &a, &b), 0);
        CHECK_EQ(recv_with(b, EAGAIN, 1), LINK_E_AGAIN);
        CHECK_EQ(recv_with(b, ENOTCONN, 1), LINK_E_EOF);
        CHECK_EQ(recv_with(b, ENOMEM, 1), -ENOMEM);
        CHECK_EQ(recv_with(b, EBADF, 1), -EBADF);
        link_free(a);
        link_free(b);
}

TEST(each_errno_of_accept_has_its_outcome)
{
        static const struct {
                int error, times, outcome;
        } rows[] = {
                {EAGAIN, 1, LINK_E_AGAIN},
                {EMFILE, 1, LINK_E_EXHAUSTED},
                {ENFILE, 1, LINK_E_EXHAUSTED},
                {ENOBUFS, 1, LINK_E_EXHAUSTED},
                {ENOMEM, 1, LINK_E_EXHAUSTED},
                /* Passed over: nobody else waits. */
                {EINTR, 3, LINK_E_AGAIN},
                {ECONNABORTED, 3, LINK_E_AGAIN},
                {EPERM, 3, LINK_E_AGAIN},
                {EPROTO, 3, LINK_E_AGAIN},
                /* A fault that stays is not a loop. */
                {EPERM, 1000, LINK_E_EXHAUSTED},
                {EINVAL, 1, -EINVAL},
        };
        struct address a;
        struct address_why why;
        struct listener_why listener_why;
        struct listener *l;
        const char *dir = getenv("TEST_TMPDIR");
        int fd = -1;

        CHECK_EQ(chdir(dir ? dir : "/tmp"), 0);
        CHECK_EQ(address_parse("./fault", ADDRESS_BROKER, &a, &why), 0);
        CHECK_EQ(listener_open(&a, 1, &l, &listener_why), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                set_fault(rows[i].error, rows[i].times);
                CHECK_EQ(listener_accept(l, &fd), rows[i].outcome);
                CHECK(fault.calls <= 100);
                CHECK_EQ(fd, -1);
        }
        listener_close(l);
        CHECK_EQ(unlink("fault.lock"), 0);
}

TEST(a_path_has_no_other_mode_before_its_own)
{
        static const struct {
                const char *text;
                mode_t mode;
        } rows[] = {
                {"./s", 0600},
                {"./s?mode=0666", 0666},
                {"./s?mode=0640", 0640},
                {"./s?mode=0666&group=0", 0606}, /* nothing for a group that is not yet its own */
                {"stream:./s", 0600},
                {"stream:./s?mode=0666&group=0", 0606},
                {"dgram:./s", 0600},
                {"dgram:./s?mode=0622&group=0", 0602},
        };
        const char *dir = getenv("TEST_TMPDIR");
        mode_t before = umask(022);

        CHECK_EQ(chdir(dir ? dir : "/tmp"), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct address a;
                struct address_why why;
                struct listener_why listener_why;
                struct listener *l;
                CHECK_EQ(address_parse(rows[i].text, ADDRESS_BROKER, &a, &why), 0);
                a.gid = getegid();
                int r = listener_open(&a, 1, &l, &listener_why);
                if (r == LINK_E_UNSUPPORTED)
                        continue; /* datagrams, in a portable build */
                CHECK_EQ(r, 0);
                CHECK_EQ(bound_mode, rows[i].mode);
                listener_close(l);
        }
        umask(before);
        CHECK_EQ(unlink("s.lock"), 0);
}

static struct address path(const char *text)
{
        struct address_why why;
        struct address a;

        CHECK_EQ(address_parse(text, ADDRESS_BROKER, &a, &why), 0);
        return a;
}

/* A receiver at "d". */
static struct listener *open_receiver(void)
{
        const char *dir = getenv("TEST_TMPDIR");
        struct listener_why why;
        struct listener *l;

        CHECK_EQ(chdir(dir ? dir : "/tmp"), 0);
        unsetenv("BUILD_WORKING_DIRECTORY");
        struct address a = path("dgram:./d");
        CHECK_EQ(listener_open(&a, 1, &l, &why), 0);
        return l;
}

static void close_receiver(struct listener *l)
{
        listener_close(l);
        CHECK_EQ(unlink("d.lock"), 0);
}

LINUX_TEST(a_sender_needs_memory_and_a_file_that_stays_the_same, "no datagrams")
{
        struct listener *l = open_receiver();
        struct address a = path("dgram:./d");
        struct link_why why;
        struct dgram *d = NULL;

        has_no_memory = true;
        CHECK_EQ(dgram_connect(&a, &d, &why), -ENOMEM);
        CHECK_STR(why.text, "Cannot allocate memory");
        CHECK_EQ(dgram_connect(&a, &d, &why), 0);
        d = dgram_free(d);
        int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "other"};
        CHECK_EQ(bind(other, (struct sockaddr *)&addr, sizeof(addr)), 0);
        replacement = "other";
        CHECK_EQ(dgram_connect(&a, &d, &why), LINK_E_BUSY);
        CHECK_STR(why.text, "it is being replaced");
        CHECK_NULL(d);
        close(other);
        CHECK_EQ(unlink("d"), 0);
        close_receiver(l);
}

LINUX_TEST(each_errno_of_a_datagram_has_its_outcome, "no datagrams")
{
        static const struct {
                int error, sent, received;
        } rows[] = {
                {EAGAIN, LINK_E_AGAIN, LINK_E_AGAIN},
                {ECONNREFUSED, LINK_E_GONE, -ECONNREFUSED},
                {ENOTCONN, LINK_E_GONE, -ENOTCONN},
                {EPIPE, LINK_E_GONE, -EPIPE},
                {EMSGSIZE, LINK_E_TOO_BIG, -EMSGSIZE},
                {ENOBUFS, LINK_E_EXHAUSTED, LINK_E_EXHAUSTED},
                {ENOMEM, LINK_E_EXHAUSTED, LINK_E_EXHAUSTED},
                {EPERM, -EPERM, -EPERM},
                {EINTR, 0, 0},
        };
        struct listener *l = open_receiver();
        struct address a = path("dgram:./d");
        struct link_why why;
        struct dgram *d;
        struct cred who;
        char buf[8];
        size_t len;

        CHECK_EQ(dgram_connect(&a, &d, &why), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                set_fault(rows[i].error, 1);
                CHECK_EQ(dgram_send(d, "x", 1), rows[i].sent);
                set_fault(rows[i].error, 1);
                CHECK_EQ(dgram_recv(l, NULL, buf, sizeof(buf), &len, &who), rows[i].received);
        }
        CHECK_EQ(dgram_recv(l, NULL, buf, sizeof(buf), &len, &who), LINK_E_AGAIN);
        dgram_free(d);
        close_receiver(l);
}
