/* Design note. The dangers of a path are a half-made socket that somebody connects to, a file that
 * is not ours and gets removed, and two brokers at once. So:
 *
 *  - The directory is opened once and every file is named from there. Where anybody may rename
 *    anything (world-writable, not sticky) nothing can be claimed.
 *  - The lock decides between brokers. Its file is never removed: whoever removes and recreates a
 *    locked file has a second lock, not a second claim. Even with the lock, a socket that answers
 * is left alone: its broker may have lost its lock file.
 *  - The socket is bound as PATH.new, given its owner and mode, made to listen (a datagram socket
 *    hears from bind on), and only then renamed to PATH: whoever sees PATH sees it complete, and
 *    PATH never goes missing meanwhile. PATH.new needs no random name: the lock protects it too.
 *  - bind creates the file with mode 0777 & ~umask (F10): the umask is set so that the mode is
 *    right at once, which, unlike a umask of 0, cannot open up anything else by accident.
 *  - The inode number recognises our file at the end. It cannot be reused before: the socket keeps
 *    the inode alive. */
#include "proto/link/claim.h"

#include "proto/link/os.h"
#include "proto/link/say.h"
#include "proto/link/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        NAME_CAP = sizeof(((struct address *)0)->name),
        MODE_DEFAULT = 0600,
        LOCK_MODE = 0600,
        MODE_BITS = 0777,
};

_Static_assert(sizeof(((struct listener_why *)0)->text) == SAY_BYTES, "say fits a listener_why");

#define unsafe(why, ...) (say((why)->text, __VA_ARGS__), LISTENER_E_UNSAFE)

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static int open_directory(
        struct claim *c, const struct address *a, bool *ret_is_shared, struct listener_why *why)
{
        size_t len = (size_t)(c->base - a->name);
        char path[NAME_CAP];
        struct stat st;

        memcpy(path, a->name, len); /* with its last slash */
        path[len] = '\0';
        c->dir = os_find_dir(path);
        if (c->dir < 0)
                return c->dir;
        if (fstat(c->dir, &st) < 0)
                return -errno;
        *ret_is_shared = st.st_mode & S_IWOTH;
        if (*ret_is_shared && !(st.st_mode & S_ISVTX))
                return unsafe(why, "its directory is world-writable and not sticky");
        return 0;
}

/* Whoever answers at `name` is named in `why`; for datagrams the kernel does not know. */
static int judge_answer(int r, int fd, enum transport transport, struct listener_why *why)
{
        struct cred who;

        switch (r) {
        case -ECONNREFUSED: /* the socket is gone, or does not listen */
        case -ENOENT:
                return 0;
        case 0:
                if (transport != TRANSPORT_DGRAM && cred_of_peer(fd, &who) == 0)
                        say_who(why->text, "a live broker serves it: ", &who, "");
                else
                        say(why->text, "a live broker serves it");
                return LISTENER_E_TAKEN;
        case -EAGAIN:
                say(why->text, "a live broker serves it, whose backlog is full");
                return LISTENER_E_TAKEN;
        case -EPROTOTYPE:
                say(why->text, "another program serves it, with another type of socket");
                return LISTENER_E_TAKEN;
        case -EACCES:
        case -EPERM: /* a security module; or a datagram socket that hears one sender only */
                return unsafe(why, "a socket is there that may not be connected to");
        default:
                return r;
        }
}

/* Returns 0 if nothing stands there, or a socket that nobody serves. A live one of another type
 * says so whichever type asks; a dead one has none any more. Who asks for datagrams connects
 * without being seen. */
static int check_vacant(const struct claim *c, enum transport transport, const char *name,
        const char *path, struct listener_why *why)
{
        cleanup_(os_found_deinit) struct os_found found = OS_FOUND_INIT;
        int r = os_look(c->dir, name, &found);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (S_ISLNK(found.st.st_mode))
                return unsafe(why, "a symbolic link is there (%.100s)", name);
        if (!S_ISSOCK(found.st.st_mode))
                return unsafe(why, "something is there that is no socket (%.100s)", name);
        cleanup_(closep) int fd = os_socket(transport_socket(transport));
        if (fd < 0)
                return fd;
        return judge_answer(os_connect_to(fd, &found, path), fd, transport, why);
}

static int open_lock(struct claim *c, bool is_shared, struct listener_why *why)
{
        char name[NAME_CAP + 8];
        struct stat st;

        snprintf(name, sizeof(name), "%s.lock", c->base);
        /* O_NONBLOCK: a FIFO put there might make us wait. */
        c->lock = openat(c->dir, name,
                O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, LOCK_MODE);
        if (c->lock < 0)
                return errno == ELOOP ? unsafe(why, "its lock file is a symbolic link") : -errno;
        if (fstat(c->lock, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return unsafe(why, "its lock file is no regular file");
        if (is_shared && st.st_uid != geteuid())
                return unsafe(why, "its lock file belongs to uid %u", (unsigned)st.st_uid);
        /* A umask that takes our own rights would keep the next broker of this user out. */
        if (st.st_uid == geteuid() && fchmod(c->lock, LOCK_MODE) < 0)
                return -errno;
        return 0;
}

int claim_take(struct claim *c, const struct address *a, struct listener_why *ret_why)
{
        bool is_shared = false;

        c->base = strrchr(a->name, '/') + 1;
        int r = open_directory(c, a, &is_shared, ret_why);
        if (r)
                return r;
        r = open_lock(c, is_shared, ret_why);
        if (r)
                return r;
        bool is_locked = flock(c->lock, LOCK_EX | LOCK_NB) == 0;
        if (!is_locked && errno != EWOULDBLOCK)
                return -errno;
        r = check_vacant(c, a->transport, c->base, a->name, ret_why);
        if (r || is_locked)
                return r;
        return unsafe(ret_why, "its lock is held by a process that does not listen");
}

static int bind_with_mode(int fd, const char *path, mode_t mode)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        memcpy(addr.sun_path, path, strlen(path) + 1);
        mode_t before = umask(MODE_BITS & ~mode);
        int r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
        umask(before);
        return r;
}

/* Gives the file its group, and its mode where that is not right yet: until it has its group, the
 * mode must not say anything to the group it was made with; and a default ACL overrides a umask. */
static int set_access(const struct claim *c, const char *name, const struct address *a, mode_t mode,
        struct stat *ret_st, struct listener_why *why)
{
        if (a->has_group && fchownat(c->dir, name, (uid_t)-1, a->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (fstatat(c->dir, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if ((ret_st->st_mode & MODE_BITS) == mode)
                return 0;
        if (fchmodat(c->dir, name, mode, AT_SYMLINK_NOFOLLOW) < 0 ||
                fstatat(c->dir, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if ((ret_st->st_mode & MODE_BITS) != mode)
                return unsafe(why, "its file system does not keep mode %04o", (unsigned)mode);
        return 0;
}

static int publish(struct claim *c, const char *name, const struct address *a, mode_t mode, int fd,
        int backlog, struct listener_why *why)
{
        struct stat st;
        int r = set_access(c, name, a, mode, &st, why);

        if (r)
                return r;
        if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
                return unsafe(why, "its directory is being changed by somebody else");
        if (a->transport != TRANSPORT_DGRAM && listen(fd, backlog) < 0)
                return -errno;
        if (renameat(c->dir, name, c->dir, c->base) < 0)
                return -errno;
        c->is_bound = true;
        c->dev = st.st_dev;
        c->ino = st.st_ino;
        return 0;
}

int claim_bind(
        struct claim *c, const struct address *a, int fd, int backlog, struct listener_why *ret_why)
{
        mode_t mode = a->has_mode ? a->mode : MODE_DEFAULT;
        mode_t first_mode = a->has_group ? mode & ~(mode_t)S_IRWXG : mode;
        char path[NAME_CAP + 8];
        const char *name = path + (c->base - a->name);

        if (snprintf(path, sizeof(path), "%s.new", a->name) >= NAME_CAP)
                return -ENAMETOOLONG;
        int r = check_vacant(c, a->transport, name, path, ret_why);
        if (r)
                return r;
        if (unlinkat(c->dir, name, 0) < 0 && errno != ENOENT)
                return -errno;
        r = bind_with_mode(fd, path, first_mode);
        if (r < 0)
                return r;
        r = publish(c, name, a, mode, fd, backlog, ret_why);
        if (r)
                (void)unlinkat(c->dir, name, 0);
        return r;
}

void claim_deinit(struct claim *c)
{
        struct stat st;

        if (c->is_bound && fstatat(c->dir, c->base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                st.st_dev == c->dev && st.st_ino == c->ino)
                (void)unlinkat(c->dir, c->base, 0);
        closep(&c->lock);
        closep(&c->dir);
        *c = (struct claim)CLAIM_INIT;
}
