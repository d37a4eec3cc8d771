#include "tests/link/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef BATON_PORTABLE
enum { IS_PORTABLE = 1 };
#else
enum { IS_PORTABLE = 0 };
#endif

size_t yard_bury(struct graveyard *yard)
{
        size_t before = test_open_fds();

        fdset_bury(graveyard_take(yard));
        return before - test_open_fds();
}

static char room[256];

void room_enter(void)
{
        const char *parent = getenv("TEST_TMPDIR");

        snprintf(room, sizeof(room), "%s/room-XXXXXX", parent ? parent : "/tmp");
        CHECK_PTR(mkdtemp(room));
        CHECK_EQ(chdir(room), 0);
        unsetenv("BUILD_WORKING_DIRECTORY");
}

static void empty(const char *path)
{
        DIR *dir = opendir(path);
        struct dirent *entry;

        CHECK_PTR(dir);
        while ((entry = readdir(dir))) {
                char name[600];
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
                if (unlink(name) < 0 && errno == EISDIR) {
                        empty(name);
                        CHECK_EQ(rmdir(name), 0);
                }
        }
        closedir(dir);
}

void room_leave(void)
{
        empty(room);
        CHECK_EQ(chdir("/"), 0);
        CHECK_EQ(rmdir(room), 0);
}

static struct address address(const char *text, enum address_side side)
{
        struct address a;
        struct address_why why;

        if (address_parse(text, side, &a, &why))
                fail_msg("%s: %s", text, why.text);
        return a;
}

bool can_serve(const char *text)
{
        return !IS_PORTABLE || (text[0] != '@' && strncmp(text, "dgram:", 6));
}

pid_t told_pid(pid_t pid)
{
        return IS_PORTABLE ? 0 : pid;
}

void say_process(char text[64], const char *before, pid_t pid, uid_t uid)
{
        if (IS_PORTABLE)
                snprintf(text, 64, "%suid %u", before, (unsigned)uid);
        else
                snprintf(text, 64, "%spid %d (uid %u)", before, (int)pid, (unsigned)uid);
}

struct address broker_address(const char *text)
{
        return address(text, ADDRESS_BROKER);
}

struct address client_address(const char *text)
{
        return address(text, ADDRESS_CLIENT);
}

struct listener *open_listener(const char *text)
{
        struct address a = broker_address(text);
        struct listener_why why = {""};
        struct listener *l = NULL;
        int r = listener_open(&a, 16, &l, &why);

        if (r)
                fail_msg("%s: %d %s", text, r, why.text);
        return l;
}

struct link *connect_to(const char *text, struct graveyard *yard)
{
        struct address a = client_address(text);
        struct link_why why = {""};
        struct link *l = NULL;
        struct cred broker;
        int r = link_connect(&a, yard, &l, &broker, &why);

        if (r)
                fail_msg("%s: %d %s", text, r, why.text);
        return l;
}

struct link *accept_from(struct listener *l, struct graveyard *yard)
{
        struct link *link = NULL;
        int fd = -1;

        CHECK_EQ(listener_accept(l, &fd), 0);
        CHECK_EQ(link_new_adopt(fd, listener_address(l)->transport, yard, &link), 0);
        return link;
}

struct link *link_of(int fd, enum transport transport, struct graveyard *yard)
{
        struct link *link = NULL;

        CHECK_EQ(link_new_adopt(fd, transport, yard, &link), 0);
        return link;
}

int send_text(struct link *l, const char *text, const struct fdset *fds)
{
        struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};

        return link_send(l, &iov, 1, fdset_fds(fds), fdset_n(fds));
}

void check_text(struct link *l, const char *text)
{
        char buf[256];
        size_t len = 0;
        struct fdset *fds = NULL;

        CHECK_EQ(link_recv(l, buf, sizeof(buf), &len, &fds), 0);
        CHECK_EQ(len, strlen(text));
        CHECK_BYTES(buf, text, len);
        CHECK_NULL(fds);
}

int recv_any(struct link *l)
{
        static char buf[65536];
        size_t len;
        struct fdset *fds = NULL;
        int r = link_recv(l, buf, sizeof(buf), &len, &fds);

        fdset_unref(fds);
        return r;
}

struct fdset *pipes_new(size_t n, struct graveyard *yard)
{
        int fds[FDSET_MAX];
        struct fdset *set = NULL;

        for (size_t i = 0; i < n; i++) {
                int ends[2];
                char byte = (char)('a' + i % 26);
                CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
                CHECK_EQ(write(ends[1], &byte, 1), 1);
                close(ends[1]);
                fds[i] = ends[0];
        }
        CHECK_EQ(fdset_new_take(fds, n, yard, &set), 0);
        return set;
}

int raw_socket(int type)
{
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        CHECK(fd >= 0);
        return fd;
}

void raw_pair_of(int type, int fds[2])
{
        CHECK_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

void raw_pair(int fds[2])
{
        raw_pair_of(SOCK_SEQPACKET, fds);
}

struct link *raw_adopt(int fd, struct graveyard *yard)
{
        return link_of(fd, TRANSPORT_SEQPACKET, yard);
}

void raw_send(int fd, const char *text)
{
        CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void raw_recv(int fd, const char *text)
{
        char buf[64];

        CHECK_EQ(recv(fd, buf, sizeof(buf), 0), strlen(text));
        CHECK_BYTES(buf, text, strlen(text));
}

int raw_recv_errno(int fd)
{
        char buf[64];

        return recv(fd, buf, sizeof(buf), 0) < 0 ? errno : 0;
}

union control {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDSET_MAX * sizeof(int))];
};

ssize_t raw_send_fds(int fd, const void *bytes, size_t len, size_t n)
{
        struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        union control control = {.room = ""};
        int some = 0;

        if (n) {
                msg.msg_control = control.room;
                msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
        }
        for (size_t i = 0; i < n; i++)
                memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &some, sizeof(int));
        return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t raw_recv_fds(int fd, void *bytes, size_t len, size_t n, size_t *ret_n, int *ret_flags)
{
        struct iovec iov = {.iov_base = bytes, .iov_len = len};
        union control control;
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.room,
                .msg_controllen = CMSG_LEN(n * sizeof(int)),
        };
        ssize_t got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        *ret_n = 0;
        if (got < 0)
                return got;
        *ret_flags |= msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c) {
                *ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < *ret_n; i++)
                        close(((int *)CMSG_DATA(c))[i]);
        }
        return got;
}

bool kernel_can_refuse(void)
{
        int fds[2], off = 0;

        raw_pair(fds);
        int r = setsockopt(fds[0], SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, sizeof(off));
        close(fds[0]);
        close(fds[1]);
        return r == 0;
}

uint8_t pattern(size_t i)
{
        return (uint8_t)(i * 31 + i / 251);
}

void fill(uint8_t *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                bytes[i] = pattern(i);
}

int send_and_exit(void *context)
{
        int fd = *(int *)context;

        return send(fd, LAST_WORDS, strlen(LAST_WORDS), MSG_NOSIGNAL) == (ssize_t)strlen(LAST_WORDS)
                       ? 0
                       : 1;
}

static int bind_listen(int type, const struct sockaddr_un *addr, size_t len)
{
        int fd = raw_socket(type);

        CHECK_EQ(bind(fd, (const struct sockaddr *)addr, (socklen_t)len), 0);
        if ((type & ~SOCK_NONBLOCK) != SOCK_DGRAM)
                CHECK_EQ(listen(fd, 4), 0);
        return fd;
}

int raw_bind(int type, const char *path)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
        return bind_listen(type, &addr, sizeof(addr));
}

int raw_bind_abstract(int type, const char *name)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        memcpy(addr.sun_path + 1, name, strlen(name));
        return bind_listen(type, &addr, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

pid_t spawn(int (*body)(void *context), void *context)
{
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
                _exit(body(context));
        }
        return pid;
}

int reap(pid_t pid)
{
        int status;

        CHECK_EQ(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void limit_fds(int spare)
{
        static struct rlimit before;
        struct rlimit now;

        if (spare < 0) {
                CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
                return;
        }
        int lowest = dup(0);
        CHECK(lowest >= 0);
        close(lowest);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        now = before;
        now.rlim_cur = (rlim_t)lowest + (rlim_t)spare;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
}
