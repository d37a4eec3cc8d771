/* Design note. POSIX.1-2008 and what all BSDs and macOS share; docs/PORTING.md says for each
 * function what a particular system could do better.
 *
 * Two races are left open here that os_linux.c closes:
 *  - A descriptor is made first and marked close-on-exec afterwards. A thread that forks and
 *    executes in between hands it to its child, which then keeps a connection open. The broker and
 *    the tools fork in no other thread; a program that uses the library may.
 *  - A path is looked at, connected to by its name, and looked at again. Whoever can put another
 *    file in its place between the looks, and put the first one back, deceives us. That takes the
 *    right to write into the directory and to remove files of the socket's owner from it: this
 *    user, root, or the owner of a directory that the socket should not be in. And it gains
 *    nothing: who listens is judged by the connected socket's own credentials. */
#include "proto/link/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <bsd/unistd.h> /* getpeereid; the BSDs and macOS have it in <unistd.h> */
#endif

static int set_int(int fd, int option, int value)
{
        return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* For systems without MSG_NOSIGNAL. */
static int refuse_sigpipe(int fd)
{
#ifdef SO_NOSIGPIPE
        return set_int(fd, SO_NOSIGPIPE, 1);
#else
        (void)fd;
        return 0;
#endif
}

/* Owns `fd`. Returns it, or closes it and returns -errno. */
static int prepare(int fd)
{
        int status = fcntl(fd, F_GETFL);
        int r = status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0 ||
                                fcntl(fd, F_SETFD, FD_CLOEXEC) < 0
                        ? -errno
                        : refuse_sigpipe(fd);

        if (r == 0)
                return fd;
        close(fd);
        return r;
}

int os_socket(int type)
{
        int fd = socket(AF_UNIX, type, 0);

        return fd < 0 ? -errno : prepare(fd);
}

int os_pair(int type, int ret_fds[2])
{
        int fds[2];

        if (socketpair(AF_UNIX, type, 0, fds) < 0)
                return -errno;
        int a = prepare(fds[0]), b = prepare(fds[1]);
        if (a < 0 || b < 0) {
                if (a >= 0)
                        close(a);
                if (b >= 0)
                        close(b);
                return a < 0 ? a : b;
        }
        ret_fds[0] = a;
        ret_fds[1] = b;
        return 0;
}

/* Whether the new socket inherits the listener's flags differs from system to system. */
int os_accept(int fd)
{
        int accepted = accept(fd, NULL, NULL);

        return accepted < 0 ? -errno : prepare(accepted);
}

static void close_on_exec(const struct cmsghdr *c)
{
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < n; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* cannot fail: it is open */
        }
}

ssize_t os_recv(int fd, struct msghdr *msg, bool waits)
{
        ssize_t n = recvmsg(fd, msg, waits ? 0 : MSG_DONTWAIT);

        if (n < 0 || !msg->msg_controllen)
                return n;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        close_on_exec(c);
        }
        return n;
}

/* Datagrams rest on credentials in control messages, and on reaching the very file that was looked
 * at. */
const char *os_lacks(const struct address *a)
{
        if (a->is_abstract)
                return "abstract names exist on Linux only: use a path";
        if (a->transport == TRANSPORT_DGRAM)
                return "this build cannot tell who sends a datagram: use stream:";
        return NULL;
}

/* No address gets so far (os_lacks); bind and connect would answer EINVAL. */
void os_abstract(
        const char *name, size_t name_len, struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
        (void)name;
        (void)name_len;
        assert(!"there are no abstract names");
        *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
        *ret_len = 0;
}

/* Needs the right to read the directory, where O_PATH needs none; O_SEARCH would do as well. */
int os_find_dir(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int os_look(int dir, const char *path, struct os_found *ret)
{
        return fstatat(dir, path, &ret->st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

void os_found_deinit(struct os_found *found)
{
        (void)found;
}

static bool is_still_there(const struct os_found *found, const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 && st.st_dev == found->st.st_dev &&
               st.st_ino == found->st.st_ino;
}

int os_connect_to(int fd, const struct os_found *found, const char *path)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        size_t len = strlen(path);

        if (len >= sizeof(addr.sun_path))
                return -ENAMETOOLONG;
        memcpy(addr.sun_path, path, len);
        if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
                return -errno;
        return is_still_there(found, path) ? 0 : -EAGAIN;
}

int os_peer_cred(int fd, struct cred *ret)
{
        uid_t uid;
        gid_t gid;

        if (getpeereid(fd, &uid, &gid) < 0)
                return -errno;
        *ret = (struct cred){.uid = uid, .gid = gid};
        return 0;
}

int os_peer_groups(int fd, gid_t *ret_gids, size_t most, size_t *ret_n)
{
        (void)fd, (void)ret_gids, (void)most, (void)ret_n;
        return -EOPNOTSUPP;
}

int os_pass_cred(int fd, bool on)
{
        (void)fd;
        return on ? -EOPNOTSUPP : 0;
}

bool os_find_cred(const struct cmsghdr *c, struct cred *ret)
{
        (void)c;
        (void)ret;
        return false;
}

int os_pass_fds(int fd, bool on)
{
        (void)fd;
        (void)on;
        return 0;
}

bool os_lets_fds_in(int fd)
{
        (void)fd;
        return true;
}

int os_family(int fd)
{
        struct sockaddr_storage addr;
        socklen_t len = sizeof(addr);

        return getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ? -errno : addr.ss_family;
}

/* Where a file stands a file system knows, and it is not asked by lseek. What has no place is a
 * pipe or a device, and fstat of those does not wait. */
enum fdkind os_file_kind(int fd)
{
        struct stat st;

        if (lseek(fd, 0, SEEK_CUR) >= 0 || errno != ESPIPE || fstat(fd, &st) < 0)
                return FDKIND_OTHER;
        return S_ISFIFO(st.st_mode) ? FDKIND_PIPE : FDKIND_OTHER;
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

/* ENOBUFS: more than the system's limit (kern.ipc.maxsockbuf). Every link comes through here once,
 * those too that were made elsewhere. */
int os_send_room(int fd, size_t bytes)
{
        size_t now = 0;
        int r = refuse_sigpipe(fd);

        if (r < 0 || (r = send_room(fd, &now)) < 0 || now >= bytes)
                return r;
        r = set_int(fd, SO_SNDBUF, (int)size_min(bytes, INT32_MAX));
        return r == -ENOBUFS ? 0 : r;
}

/* All of it, for nobody says how much. Whoever asks wants room on top of that. */
int os_unread(int fd, size_t *ret_bytes)
{
        return send_room(fd, ret_bytes);
}
