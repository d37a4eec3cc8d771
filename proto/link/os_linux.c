/* Design note. Every line here relies on Linux: abstract names, accept4, SO_PEERCRED and
 * SCM_CREDENTIALS, O_PATH with /proc/self/fd, SO_PASSRIGHTS, a doubled SO_SNDBUF. What newer
 * kernels added is tried, not looked up by version: distributions backport. */
#include "proto/link/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 6.16, asm-generic/socket.h; older headers lack it. sparc and parisc number differently. */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

int os_socket(int type)
{
        int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        return fd < 0 ? -errno : fd;
}

int os_pair(int type, int ret_fds[2])
{
        return socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno
                                                                                        : 0;
}

int os_accept(int fd)
{
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        return accepted < 0 ? -errno : accepted;
}

ssize_t os_recv(int fd, struct msghdr *msg, bool waits)
{
        return recvmsg(fd, msg, (waits ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
}

const char *os_lacks(const struct address *a)
{
        (void)a;
        return NULL;
}

void os_abstract(
        const char *name, size_t name_len, struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
        *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(ret_addr->sun_path + 1, name, name_len);
        *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name_len);
}

static int open_path(int dir, const char *path, int flags)
{
        int fd = openat(dir, path, O_PATH | O_CLOEXEC | flags);

        return fd < 0 ? -errno : fd;
}

int os_find_dir(const char *path)
{
        return open_path(AT_FDCWD, path, O_DIRECTORY);
}

int os_look(int dir, const char *path, struct os_found *ret)
{
        int fd = open_path(dir, path, O_NOFOLLOW);

        if (fd < 0)
                return fd;
        if (fstat(fd, &ret->st) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        ret->fd = fd;
        return 0;
}

void os_found_deinit(struct os_found *found)
{
        if (found->fd >= 0)
                close(found->fd);
        found->fd = -1;
}

static int connect_path(int fd, const char *path)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
        return connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

int os_connect_to(int fd, const struct os_found *found, const char *path)
{
        char magic[32];

        snprintf(magic, sizeof(magic), "/proc/self/fd/%d", found->fd);
        int r = connect_path(fd, magic);
        if (r == -ENOENT) /* /proc is not mounted, as in a bare chroot */
                r = connect_path(fd, path);
        return r;
}

int os_peer_cred(int fd, struct cred *ret)
{
        struct ucred u;
        socklen_t len = sizeof(u);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) < 0)
                return -errno;
        *ret = (struct cred){.pid = u.pid, .uid = u.uid, .gid = u.gid};
        return 0;
}

int os_peer_groups(int fd, gid_t *ret_gids, size_t most, size_t *ret_n)
{
        socklen_t len = (socklen_t)(most * sizeof(gid_t));
        int r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret_gids, &len) < 0 ? -errno : 0;

        if (r == 0 || r == -ERANGE)
                *ret_n = len / sizeof(gid_t);
        return r;
}

static int set_int(int fd, int option, int value)
{
        return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int os_pass_cred(int fd, bool on)
{
        return set_int(fd, SO_PASSCRED, on);
}

bool os_find_cred(const struct cmsghdr *c, struct cred *ret)
{
        struct ucred u;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
                c->cmsg_len < CMSG_LEN(sizeof(u)))
                return false;
        memcpy(&u, CMSG_DATA(c), sizeof(u));
        *ret = (struct cred){.pid = u.pid, .uid = u.uid, .gid = u.gid};
        return true;
}

int os_pass_fds(int fd, bool on)
{
#ifdef SO_PASSRIGHTS
        int r = set_int(fd, SO_PASSRIGHTS, on);
        return r == -ENOPROTOOPT || r == -EOPNOTSUPP ? 0 : r;
#else
        (void)fd;
        (void)on;
        return 0;
#endif
}

bool os_lets_fds_in(int fd)
{
#ifdef SO_PASSRIGHTS
        int on = 1;
        socklen_t len = sizeof(on);
        return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &len) < 0 || on;
#else
        (void)fd;
        return true;
#endif
}

int os_family(int fd)
{
        int family;
        socklen_t len = sizeof(family);

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 ? -errno : family;
}

/* Of anonymous inodes an eventfd alone can be written to by write(2) and not by pwritev2 without
 * waiting, and read by preadv2 without waiting, but not a byte. No driver is called for the one
 * (there is none to call), and eventfd's own code for the other, which refuses before it looks at
 * its counter. Of the devices that are anonymous inodes too (vfio, KVM ...) none is called, for
 * they cannot promise not to wait. */
static bool is_eventfd(int fd)
{
        char byte;
        struct iovec from = {.iov_base = NULL, .iov_len = 1}; /* nobody shall get as far as that */
        struct iovec to = {.iov_base = &byte, .iov_len = 1};

        return pwritev2(fd, &from, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP &&
               preadv2(fd, &to, 1, -1, RWF_NOWAIT) < 0 && errno == EINVAL;
}

/* The kernel itself answers, for every file; procfs has had blocks of this size for ever. */
static bool is_procfs(int fd, const struct statx *st)
{
        int bytes;

        return st->stx_dev_major == 0 && ioctl(fd, FIGETBSZ, &bytes) == 0 && bytes == 1024;
}

/* Seals mean shared memory: an unlinked file of tmpfs is as good as a memfd. All of tmpfs has seals
 * that say that there will be none. */
static bool is_memfd(int fd, const struct statx *st)
{
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && (seals != F_SEAL_SEAL || st->stx_nlink == 0);
}

static enum fdkind kind_of_mode(int fd, const struct statx *st)
{
        switch (st->stx_mode & S_IFMT) {
        case S_IFIFO:
                return FDKIND_PIPE;
        case S_IFCHR:
                return FDKIND_CHAR_DEVICE;
        case S_IFBLK:
                return FDKIND_BLOCK_DEVICE;
        case S_IFDIR:
                return is_procfs(fd, st) ? FDKIND_PROCFS : FDKIND_DIRECTORY;
        case S_IFREG:
                if (is_memfd(fd, st))
                        return FDKIND_MEMFD;
                return is_procfs(fd, st) ? FDKIND_PROCFS : FDKIND_FILE;
        case 0:
                return is_eventfd(fd) ? FDKIND_EVENTFD : FDKIND_OTHER;
        default:
                return FDKIND_OTHER;
        }
}

/* statx that shall not ask the server: what the kernel remembers is enough, for nothing that it is
 * asked for ever changes but the number of links, which matters for memory alone. It may be
 * forbidden, to root too: a FUSE file of another user. */
enum fdkind os_file_kind(int fd)
{
        struct statx st;
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return FDKIND_OTHER;
        if (flags & O_PATH)
                return FDKIND_PATH;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_NLINK, &st) < 0)
                return FDKIND_OTHER;
        return kind_of_mode(fd, &st);
}

static int send_room(int fd, size_t *ret_bytes)
{
        int bytes;
        socklen_t len = sizeof(bytes);

        if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &len) < 0)
                return -errno;
        *ret_bytes = (size_t)bytes;
        return 0;
}

/* The kernel doubles what setsockopt says, after cutting it to net.core.wmem_max; a privileged
 * process need not heed that one (socket(7)). */
int os_send_room(int fd, size_t bytes)
{
        size_t now = 0;
        int half = (int)size_min((bytes + 1) / 2, INT32_MAX / 2);
        int r = send_room(fd, &now);

        if (r < 0 || now >= bytes)
                return r;
        r = set_int(fd, SO_SNDBUF, half);
        if (r < 0)
                return r;
        r = send_room(fd, &now);
        if (r == 0 && now < bytes)
                (void)!set_int(fd, SO_SNDBUFFORCE, half);
        return r;
}

int os_unread(int fd, size_t *ret_bytes)
{
        int bytes;

        if (ioctl(fd, SIOCOUTQ, &bytes) < 0)
                return -errno;
        *ret_bytes = (size_t)bytes;
        return 0;
}
