/* Design note. Trust rests on SO_PEERCRED alone: the uid that the listening process had when it
 * called listen(2), which no squatter can forge, whether the address is abstract or a path. That a
 * path is opened first and connected to through that descriptor keeps symbolic links out, and tells
 * "no socket" from "nobody listens". */
#include "proto/link/connect.h"

#include "proto/link/os.h"
#include "proto/link/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(((struct link_why *)0)->text) == SAY_BYTES, "say fits a link_why");

#define outcome(r, why, ...) (say((why)->text, __VA_ARGS__), (r))

static void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

/* A path knows sockets of one type only. There are three: what is no datagram socket either is a
 * stream. Connecting a datagram socket is not seen by the other side. */
static const char *right_prefix(int found, const char *path)
{
        cleanup_(closep) int fd = os_socket(SOCK_DGRAM);

        if (fd < 0)
                return "stream: or dgram:";
        return os_connect_found(fd, found, path) == -EPROTOTYPE ? "stream:" : "dgram:";
}

static int judge(int r, struct link_why *why)
{
        switch (r) {
        case -ECONNREFUSED:
                return outcome(LINK_E_ABSENT, why, "connection refused (is the broker running?)");
        case -ENOENT:
        case -ENOTDIR:
                return outcome(LINK_E_ABSENT, why, "no such socket (is the broker running?)");
        case -EAGAIN:
                return outcome(LINK_E_BUSY, why, "its backlog is full");
        case -EACCES:
        case -EPERM:
                return outcome(LINK_E_DENIED, why, "permission denied");
        default:
                return r;
        }
}

static int connect_path(int fd, const struct address *a, struct link_why *why)
{
        cleanup_(closep) int found = os_find(AT_FDCWD, a->name);
        struct stat st;

        if (found < 0)
                return judge(found, why);
        if (fstat(found, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return outcome(LINK_E_UNTRUSTED, why, "a symbolic link, not a socket");
        if (!S_ISSOCK(st.st_mode))
                return outcome(LINK_E_ABSENT, why, "not a socket");
        int r = os_connect_found(fd, found, a->name);
        if (r == -EPROTOTYPE)
                return outcome(LINK_E_WRONG_TYPE, why, "another type of socket: use %s%s",
                        right_prefix(found, a->name), a->name);
        return judge(r, why);
}

static int connect_abstract(int fd, const struct address *a, struct link_why *why)
{
        struct sockaddr_un addr;
        socklen_t len;

        os_abstract(a->name, a->name_len, &addr, &len);
        if (connect(fd, (const struct sockaddr *)&addr, len) == 0)
                return 0;
        return judge(-errno, why);
}

static int check_trust(const struct address *a, const struct cred *broker, struct link_why *why)
{
        char expected[64];

        if (a->has_uid ? broker->uid == a->uid : broker->uid == 0 || broker->uid == geteuid())
                return 0;
        if (a->has_uid)
                snprintf(expected, sizeof(expected), ", expected uid %u", (unsigned)a->uid);
        else if (geteuid())
                snprintf(expected, sizeof(expected), ", expected root or uid %u",
                        (unsigned)geteuid());
        else
                snprintf(expected, sizeof(expected), ", expected root");
        say_who(why->text, "held by ", broker, expected);
        return LINK_E_UNTRUSTED;
}

static int try(const struct address *a, struct graveyard *yard, struct link **ret_link,
        struct cred *ret_broker, struct link_why *why)
{
        cleanup_(closep) int fd = os_socket(SOCK_SEQPACKET);
        struct cred broker;
        int r;

        if (fd < 0)
                return fd;
        r = a->is_abstract ? connect_abstract(fd, a, why) : connect_path(fd, a, why);
        if (r)
                return r;
        if ((r = cred_of_peer(fd, &broker)) || (r = check_trust(a, &broker, why)))
                return r;
        int adopted = fd;
        fd = -1;
        r = link_new_adopt(adopted, a->transport, yard, ret_link);
        if (r == 0)
                *ret_broker = broker;
        return r;
}

int link_connect(const struct address *a, struct graveyard *yard, struct link **ret_link,
        struct cred *ret_broker, struct link_why *ret_why)
{
        if (a->transport != TRANSPORT_SEQPACKET)
                return outcome(LINK_E_UNSUPPORTED, ret_why, "this transport is not supported");
        int r = try(a, yard, ret_link, ret_broker, ret_why);
        if (r < 0)
                say(ret_why->text, "%s", strerror(-r));
        return r;
}
