/* Design note. A socket that somebody else has connected: one end of a socketpair whose other end a
 * broker was given. Whoever made the pair is trusted, as with everything that a process inherits.
 *
 * An inherited descriptor is not close-on-exec, or it would not have been inherited, and adoption
 * makes it so. That tells whether $BATON_FD was used before, also by another handle or library:
 * two that read from one socket would tear each other's packets. */
#include "client/connect.h"

#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Owns `fd`. */
static int make_link(int fd, struct link **ret_link, struct cred *ret_broker, struct refusal *why)
{
        enum transport transport = TRANSPORT_SEQPACKET;
        struct cred broker;
        int r = link_find_transport(fd, &transport);

        if (r == 0)
                r = cred_of_peer(fd, &broker);
        if (r) {
                close(fd);
                return r == -ENOMEM || r == -EMFILE || r == -ENFILE
                               ? refuse(why, r, strerror(-r))
                               : refuse(why, -EINVAL,
                                         "not a connected AF_UNIX socket, SEQPACKET or STREAM");
        }
        r = link_new_adopt(fd, transport, NULL, ret_link);
        if (r)
                return refuse(why, r < 0 ? r : -EINVAL, "cannot be used");
        *ret_broker = broker;
        return 0;
}

int adopt(struct baton *b, int fd, uint64_t until_ns)
{
        struct refusal why = {.text = ""};
        struct link *link = NULL;
        struct cred broker;
        char address[32];

        snprintf(address, sizeof(address), "fd:%d", fd);
        int r = make_link(fd, &link, &broker, &why);
        if (r < 0)
                return handle_fail(b, r, "%s: %s", address, why.text);
        return join_new_link(b, link, &broker, true, address, until_ns);
}

int adopt_inherited(struct baton *b, uint64_t until_ns)
{
        const char *text = sys_getenv("BATON_FD");
        char *end;

        if (!text || !*text)
                return ADOPT_E_NONE;
        errno = 0;
        long number = strtol(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || number > INT_MAX)
                return handle_fail(b, -EINVAL, "BATON_FD: not the number of a descriptor");
        int flags = fcntl((int)number, F_GETFD);
        if (flags < 0)
                return handle_fail(b, -EINVAL,
                        "BATON_FD: descriptor %ld is not open: not inherited, or closed again",
                        number);
        if (flags & FD_CLOEXEC)
                return handle_fail(b, -EBUSY,
                        "BATON_FD: descriptor %ld is in use already: it serves one connection",
                        number);
        return adopt(b, (int)number, until_ns);
}
