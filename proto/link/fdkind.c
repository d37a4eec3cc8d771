/* Design note. Sockets first: they say that they are some by taking a question for sockets. Of
 * those, only AF_UNIX is asked for more, because its names are read without a lock; getsockname of
 * a TCP socket waits for whoever is in the middle of a send, and he may be copying from memory that
 * a FUSE server does not deliver.
 *
 * Both ends of a socketpair are connected and without a name. Nothing else is: who connects does so
 * to somebody who listens, and nobody can listen without a name (Linux; unix(7)).
 *
 * What is no socket is the system's to tell: os_linux.c, os_portable.c. */
#include "proto/link/fdkind.h"

#include "proto/base/sys.h"
#include "proto/link/os.h"

static bool has_no_name(const struct sockaddr_un *addr, socklen_t len)
{
        /* BSD gives the full length, and an empty path. */
        return len <= offsetof(struct sockaddr_un, sun_path) ||
               (len == sizeof(*addr) && addr->sun_path[0] == '\0' && !sys_has_abstract());
}

static enum fdkind kind_of_unix(int fd)
{
        struct sockaddr_un addr;
        socklen_t len = sizeof(addr);

        if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || !has_no_name(&addr, len))
                return FDKIND_UNIX_SOCKET;
        len = sizeof(addr);
        if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0 || !has_no_name(&addr, len))
                return FDKIND_UNIX_SOCKET;
        return FDKIND_SOCKETPAIR;
}

enum fdkind fdkind_of(int fd)
{
        int family = os_family(fd);

        if (family < 0)
                return os_file_kind(fd);
        return family == AF_UNIX ? kind_of_unix(fd) : FDKIND_NET_SOCKET;
}

bool fdkind_is_harmless(enum fdkind kind)
{
        return kind == FDKIND_MEMFD || kind == FDKIND_PIPE || kind == FDKIND_EVENTFD ||
               kind == FDKIND_SOCKETPAIR;
}

const char *fdkind_name(enum fdkind kind)
{
        static const char *const names[FDKIND_N_] = {
                [FDKIND_MEMFD] = "memfd",
                [FDKIND_PIPE] = "pipe",
                [FDKIND_EVENTFD] = "eventfd",
                [FDKIND_SOCKETPAIR] = "socketpair",
                [FDKIND_UNIX_SOCKET] = "unix-socket",
                [FDKIND_NET_SOCKET] = "net-socket",
                [FDKIND_FILE] = "file",
                [FDKIND_DIRECTORY] = "directory",
                [FDKIND_PATH] = "path",
                [FDKIND_CHAR_DEVICE] = "char-device",
                [FDKIND_BLOCK_DEVICE] = "block-device",
                [FDKIND_PROCFS] = "procfs",
                [FDKIND_OTHER] = "other",
        };

        return names[kind];
}

uint32_t fdkinds_of(const struct fdset *fds)
{
        uint32_t kinds = 0;

        for (size_t i = 0; i < fdset_n(fds); i++)
                kinds |= UINT32_C(1) << fdkind_of(fdset_fds(fds)[i]);
        return kinds;
}
