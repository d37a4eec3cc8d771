/* Design note. An abstract name is claimed by bind itself, and lost when the socket is closed:
 * there is nothing to clean up, and nothing to protect it with either. A path needs more: claim.c.
 *
 * The same abstract name can be bound once for each type of socket (F9), so one that is taken is
 * never tried with another type.
 *
 * A socket that was passed on has a life before and beside us. Whoever connected to it before could
 * send descriptors, for a connection has inherited SO_PASSRIGHTS when it was made: accepting it
 * does not change that. listen(2) of one that listens only changes the backlog and whom clients
 * see (SO_PEERCRED), which would be our supervisor, root most often, whatever user we are. */
#include "proto/link/listener.h"

#include "proto/link/claim.h"
#include "proto/link/early.h"
#include "proto/link/inherited.h"
#include "proto/link/os.h"
#include "proto/link/say.h"
#include "proto/link/transport.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        /* Connections that went away before they were accepted: so many are skipped at once. A
         * fault that stays (a security module that forbids accept) must not become a loop. */
        SKIPS_MAX = 16,
};

struct listener {
        int fd;
        struct address address;
        struct claim claim;
        bool is_adopted;
        bool has_early; /* datagrams may wait that nobody has asked the senders of */
};

#define unfit(why, ...) (say((why)->text, __VA_ARGS__), LISTENER_E_UNFIT)

/* Finds out who has an abstract name, by connecting to it. */
static void say_holder(const struct sockaddr_un *addr, socklen_t len, struct listener_why *why)
{
        struct cred who;
        int fd = os_socket(SOCK_SEQPACKET); /* no other has abstract names: address.c */

        say(why->text, "bound by another process");
        if (fd < 0)
                return;
        if (connect(fd, (const struct sockaddr *)addr, len) == 0) {
                if (cred_of_peer(fd, &who) == 0)
                        say_who(why->text, "held by ", &who, "");
        } else if (errno == ECONNREFUSED) {
                say(why->text, "bound by a process that does not listen");
        } else if (errno == EAGAIN) {
                say(why->text, "held by a process whose backlog is full");
        }
        close(fd);
}

static int open_abstract(struct listener *l, int backlog, struct listener_why *why)
{
        struct sockaddr_un addr;
        socklen_t len;

        os_abstract(l->address.name, l->address.name_len, &addr, &len);
        if (bind(l->fd, (const struct sockaddr *)&addr, len) < 0) {
                if (errno != EADDRINUSE)
                        return -errno;
                say_holder(&addr, len, why);
                return LISTENER_E_TAKEN;
        }
        return listen(l->fd, backlog) < 0 ? -errno : 0;
}

static int open_path(struct listener *l, int backlog, struct listener_why *why)
{
        int r = claim_take(&l->claim, &l->address, why);

        return r ? r : claim_bind(&l->claim, &l->address, l->fd, backlog, why);
}

/* Of each datagram we want to know the sender, from the first on; and that one of any length that
 * the other side can send finds room. Linux counts datagrams instead and charges their sender. */
static int prepare_dgram(int fd)
{
        int bytes = LINK_SEND_BYTES;

        (void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
        return os_pass_cred(fd, true);
}

static int open_socket(struct listener *l, int backlog, struct listener_why *why)
{
        l->fd = os_socket(transport_socket(l->address.transport));
        if (l->fd < 0)
                return l->fd;
        /* Connections inherit it, from connect on, before anybody has accepted them. */
        int r = os_pass_fds(l->fd, false);
        if (r == 0 && l->address.transport == TRANSPORT_DGRAM)
                r = prepare_dgram(l->fd);
        if (r < 0)
                return r;
        return l->address.is_abstract ? open_abstract(l, backlog, why) : open_path(l, backlog, why);
}

static int check_address(const struct address *a, struct listener_why *why)
{
        const char *lack = a->is_abstract && a->transport != TRANSPORT_SEQPACKET
                                   ? "stream: and dgram: need a path"
                                   : os_lacks(a);
        if (lack)
                say(why->text, "%s", lack);
        return lack ? LINK_E_UNSUPPORTED : 0;
}

static int open_listener(const struct address *a, int backlog, struct listener **ret_listener,
        struct listener_why *why)
{
        int r = check_address(a, why);

        if (r)
                return r;
        cleanup_(listener_closep) struct listener *l = malloc(sizeof(*l));
        if (!l)
                return -ENOMEM;
        *l = (struct listener){.fd = -1, .address = *a, .claim = CLAIM_INIT};
        r = open_socket(l, backlog, why);
        if (r == 0)
                *ret_listener = take_ptr(l);
        return r;
}

int listener_open(const struct address *a, int backlog, struct listener **ret_listener,
        struct listener_why *ret_why)
{
        int r = open_listener(a, backlog, ret_listener, ret_why);

        if (r < 0)
                say(ret_why->text, "%s", strerror(-r));
        return r;
}

static int find_transport(int fd, enum transport *ret, struct listener_why *why)
{
        int type, is_listening = 0;
        socklen_t len = sizeof(is_listening);
        int r = inherited_type(fd, &type);

        if (r == LINK_E_WRONG_TYPE || r == -ENOTSOCK)
                return unfit(why, "not a socket of AF_UNIX");
        if (r < 0)
                return r;
        if (type != SOCK_DGRAM) {
                if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0)
                        return -errno;
                if (!is_listening)
                        return unfit(why, "a socket that does not listen");
        }
        *ret = type == SOCK_DGRAM    ? TRANSPORT_DGRAM
               : type == SOCK_STREAM ? TRANSPORT_STREAM
                                     : TRANSPORT_SEQPACKET;
        return 0;
}

/* A path of all 108 bytes has no NUL, and the kernel counts one beyond the end (unix(7)). */
static int find_name(int fd, struct address *ret, struct listener_why *why)
{
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        socklen_t len = sizeof(addr);

        if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
                return -errno;
        size_t n = len > offsetof(struct sockaddr_un, sun_path)
                           ? size_min(len - offsetof(struct sockaddr_un, sun_path),
                                     sizeof(addr.sun_path))
                           : 0;
        ret->is_abstract = n && !addr.sun_path[0];
        const char *name = addr.sun_path + ret->is_abstract;
        n = ret->is_abstract ? n - 1 : strnlen(name, n);
        if (n == 0)
                return unfit(why, "a socket that is bound to no name");
        if (n >= sizeof(ret->name))
                return unfit(
                        why, "a socket whose path is longer than %zu bytes", sizeof(ret->name) - 1);
        memcpy(ret->name, name, n);
        ret->name_len = n;
        return 0;
}

static int prepare_adopted(struct listener *l, int backlog, struct listener_why *why)
{
        int r = find_transport(l->fd, &l->address.transport, why);

        if (r == 0)
                r = find_name(l->fd, &l->address, why);
        if (r == 0)
                r = check_address(&l->address, why);
        if (r == 0)
                r = inherited_prepare(l->fd);
        if (r == 0)
                r = os_pass_fds(l->fd, false);
        if (r)
                return r;
        l->has_early = l->address.transport == TRANSPORT_DGRAM;
        if (l->has_early)
                return prepare_dgram(l->fd);
        return listen(l->fd, backlog) < 0 ? -errno : 0;
}

int listener_adopt(
        int fd, int backlog, struct listener **ret_listener, struct listener_why *ret_why)
{
        cleanup_(listener_closep) struct listener *l = malloc(sizeof(*l));
        int r = -ENOMEM;

        if (l) {
                *l = (struct listener){.fd = fd, .claim = CLAIM_INIT, .is_adopted = true};
                r = prepare_adopted(l, backlog, ret_why);
        } else {
                close(fd);
        }
        if (r == 0)
                *ret_listener = take_ptr(l);
        else if (r < 0)
                say(ret_why->text, "%s", strerror(-r));
        return r;
}

struct listener *listener_close(struct listener *l)
{
        if (l) {
                claim_deinit(&l->claim); /* while the socket still holds the inode */
                if (l->fd >= 0)
                        close(l->fd);
                free(l);
        }
        return NULL;
}

void listener_closep(struct listener **l)
{
        *l = listener_close(*l);
}

int listener_fd(const struct listener *l)
{
        return l->fd;
}

const struct address *listener_address(const struct listener *l)
{
        return &l->address;
}

bool listener_is_adopted(const struct listener *l)
{
        return l->is_adopted;
}

bool listener_has_early(const struct listener *l)
{
        return l->has_early;
}

void listener_saw_empty(struct listener *l)
{
        l->has_early = false;
}

int listener_accept(struct listener *l, int *ret_fd)
{
        for (int skips = 0; skips < SKIPS_MAX; skips++) {
                int fd = os_accept(l->fd);
                if (fd >= 0) {
                        *ret_fd = fd;
                        return 0;
                }
                switch (-fd) {
                case EAGAIN:
                        return LINK_E_AGAIN;
                case EMFILE:
                case ENFILE:
                case ENOBUFS:
                case ENOMEM:
                        return LINK_E_EXHAUSTED;
                case EINTR:
                case ECONNABORTED:
                case EPERM:
                case EPROTO:
                        break;
                default:
                        return fd;
                }
        }
        return LINK_E_EXHAUSTED;
}
