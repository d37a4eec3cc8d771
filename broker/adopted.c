/* Design note. `--client-fd N`: a connection that nobody made by connect(2), one end of a
 * socketpair that a parent has given us, as it gave the other end to the client. SO_PEERCRED names
 * the parent, so who the client is tells only the kernel's stamp on what it sends: SO_PASSCRED is
 * on from here until its first packet, HELLO, has come, and its session is opened for the sender of
 * that.
 *
 * A broker that has no address serves its adopted clients alone, and ends with the last of them:
 * nobody else could come. */
#include "broker/conn.h"
#include "broker/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int adopt(struct server *s, int fd)
{
        enum transport transport = TRANSPORT_SEQPACKET;
        struct conn *conn;
        int r = link_find_transport(fd, &transport);

        if (r == 0)
                r = conn_new(s, fd, transport, &conn);
        if (r)
                return r < 0 ? r : -EPROTOTYPE;
        s->adopted[s->n_adopted++] = conn;
        r = link_ask_cred(conn->link, true);
        if (r == 0)
                r = link_allow_fds(conn->link, false);
        if (r == 0)
                r = turns_enter(conn, geteuid()); /* until it has said who it is */
        if (r == 0)
                r = conn_start(conn);
        if (r < 0)
                conn_close(conn);
        return r;
}

static const char *why_not(int error)
{
        switch (-error) {
        case EPROTOTYPE:
                return "not a SEQPACKET or STREAM socket of AF_UNIX";
        case EOPNOTSUPP:
                return "this build cannot tell who is at the other end of an adopted socket";
        default:
                return strerror(-error);
        }
}

void adopted_forget(struct conn *conn)
{
        struct server *s = conn->server;

        for (size_t i = 0; i < s->n_adopted; i++) {
                if (s->adopted[i] == conn) {
                        s->adopted[i] = s->adopted[--s->n_adopted];
                        return;
                }
        }
}

/* Gives it a session only to say good-bye. Returns false if there is no memory even for that. */
static bool dismiss(struct conn *conn, enum wire_code code, const char *text)
{
        struct server *s = conn->server;
        struct cred self = {.uid = geteuid(), .gid = getegid()};

        if (conn_enter(conn, &self, NULL) < 0)
                return false;
        adopted_forget(conn);
        core_end(s->core, conn->id, code, text, server_now(s));
        return true;
}

bool adopted_identify(struct conn *conn)
{
        struct cred cred;
        bool is_known = link_find_cred(conn->link, &cred) && cred.pid > 0;

        (void)!link_ask_cred(conn->link, false);
        if (!is_known)
                return dismiss(conn, WIRE_CODE_REFUSED,
                        "no credentials came with HELLO: set SO_PASSCRED before you send it");
        if (conn_enter(conn, &cred, NULL) < 0)
                return false;
        adopted_forget(conn);
        return true;
}

static void on_silence(uv_timer_t *timer)
{
        struct server *s = timer->data;

        while (s->n_adopted) {
                struct conn *conn = s->adopted[0];
                if (!dismiss(conn, WIRE_CODE_TIMEOUT, "no HELLO in time (limit handshake_ms)"))
                        conn_close(conn);
        }
}

int adopted_open(struct server *s, const struct options *options)
{
        for (size_t i = 0; i < options->n_client_fds; i++) {
                int fd = options->client_fds[i], r = adopt(s, fd);
                if (r < 0) {
                        log_line("--client-fd %d: %s", fd, why_not(r));
                        return r;
                }
                log_line("serving the client at descriptor %d", fd);
        }
        s->handshake.data = s;
        uv_timer_init(&s->loop, &s->handshake);
        return s->n_adopted
                       ? uv_timer_start(&s->handshake, on_silence, options->limits.handshake_ms, 0)
                       : 0;
}

void adopted_close_all(struct server *s)
{
        while (s->n_adopted)
                conn_close(s->adopted[0]);
}
