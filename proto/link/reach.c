/* Design note. That a path is opened first, looked at, and connected to through that descriptor
 * keeps symbolic links out, tells "no socket" from "nobody listens", and makes what was seen be
 * what was reached. */
#include "proto/link/reach.h"

#include "proto/link/say.h"
#include "proto/link/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

_Static_assert(sizeof(((struct link_why *)0)->text) == SAY_BYTES, "say fits a link_why");

#define outcome(r, why, ...) (say((why)->text, __VA_ARGS__), (r))

int reach_judge(int error, struct link_why *why)
{
        switch (-error) {
        case ECONNREFUSED:
                return outcome(LINK_E_ABSENT, why, "connection refused (is the broker running?)");
        case ENOENT:
        case ENOTDIR:
                return outcome(LINK_E_ABSENT, why, "no such socket (is the broker running?)");
        case EAGAIN:
                return outcome(LINK_E_BUSY, why, "its backlog is full");
        case EACCES:
        case EPERM:
                return outcome(LINK_E_DENIED, why, "permission denied");
        default:
                return error;
        }
}

int reach_find(const struct address *a, struct os_found *ret_found, struct link_why *why)
{
        struct os_found found = OS_FOUND_INIT;
        int r = os_look(AT_FDCWD, a->name, &found);

        if (r < 0)
                return reach_judge(r, why);
        if (S_ISLNK(found.st.st_mode))
                r = outcome(LINK_E_UNTRUSTED, why, "a symbolic link, not a socket");
        else if (!S_ISSOCK(found.st.st_mode))
                r = outcome(LINK_E_ABSENT, why, "not a socket");
        if (r)
                os_found_deinit(&found);
        else
                *ret_found = found;
        return r;
}

/* A path knows sockets of one type only, of three: another try tells the two others apart. That
 * datagrams try to connect is not seen by the other side. NULL if it cannot be found out. */
static const char *right_prefix(const struct address *a, const struct os_found *found)
{
        bool is_dgram = a->transport == TRANSPORT_DGRAM;
        int fd = os_socket(is_dgram ? SOCK_STREAM : SOCK_DGRAM);

        if (fd < 0)
                return NULL;
        bool fits = os_connect_to(fd, found, a->name) != -EPROTOTYPE;
        close(fd);
        if (fits)
                return is_dgram ? "stream:" : "dgram:";
        return a->transport == TRANSPORT_SEQPACKET ? "stream:" : "seqpacket:";
}

int reach_connect(
        int fd, const struct os_found *found, const struct address *a, struct link_why *why)
{
        int r = os_connect_to(fd, found, a->name);

        if (r == 0)
                return 0;
        if (r == -EACCES)
                return outcome(LINK_E_DENIED, why,
                        "permission denied (a socket of uid %u, mode %04o)",
                        (unsigned)found->st.st_uid, (unsigned)(found->st.st_mode & 07777));
        if (r != -EPROTOTYPE)
                return reach_judge(r, why);
        const char *prefix = right_prefix(a, found);
        if (!prefix)
                return outcome(LINK_E_WRONG_TYPE, why, "another type of socket");
        return outcome(LINK_E_WRONG_TYPE, why, "another type of socket: use %s%s", prefix, a->name);
}

bool reach_trusts(const struct address *a, uid_t uid)
{
        return a->has_uid ? uid == a->uid : uid == 0 || uid == geteuid();
}

const char *reach_expected(const struct address *a, char out[REACH_EXPECTED])
{
        if (a->has_uid)
                snprintf(out, REACH_EXPECTED, ", expected uid %u", (unsigned)a->uid);
        else if (geteuid())
                snprintf(out, REACH_EXPECTED, ", expected root or uid %u", (unsigned)geteuid());
        else
                snprintf(out, REACH_EXPECTED, ", expected root");
        return out;
}
