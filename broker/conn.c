/* Design note. A connection is a socket polled by libuv and a session of the core. Input is read a
 * few packets at a time so that one flood cannot hold the loop; output is sent once a turn, after
 * all input of the turn (conn_flush_all), so that what many publishers sent shares packets.
 *
 * Sending is tried first; writability is watched only after the kernel refused. libuv reports an
 * error condition of the socket as a negative status and stops polling, although packets may be
 * waiting behind it (F2): it is treated as readable, and polling starts again. A connection ends
 * only when the kernel says so by an end of file, or when the core has said BYE. A peer that reads
 * no more (shutdown, or it is about to be gone) may still speak; its socket counts as writable all
 * the time, so that is not watched any more: what is queued for it stays, as for any that does not
 * read. */
#include "broker/internal.h"
#include "broker/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BYE_ROOM_BYTES = 8192 };

static void freed(uv_handle_t *handle)
{
        free(handle->data);
}

void conn_close(struct conn *conn)
{
        struct server *s = conn->server;

        core_close(s->core, conn->id, server_now(s));
        s->conns[conn->id.slot] = NULL;
        uv_close(
                (uv_handle_t *)&conn->poll, freed); /* forgets the descriptor before it is closed */
        conn->link = link_free(conn->link);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct conn *conn, int events)
{
        if (conn->events == events)
                return;
        conn->events = events;
        uv_poll_start(&conn->poll, events, on_poll);
}

/* Returns false when the connection has ended. */
static bool receive_one(struct conn *conn, bool *ret_is_dry)
{
        struct server *s = conn->server;
        struct fdset *fds = NULL;
        size_t len;
        int r = link_recv(conn->link, s->packet, WIRE_PACKET_BYTES, &len, &fds);

        switch (r) {
        case 0:
                core_input(s->core, conn->id, s->packet, len, fds, server_now(s));
                return true;
        case LINK_E_AGAIN:
        case LINK_E_EXHAUSTED:
                *ret_is_dry = true;
                return true;
        case LINK_E_BROKEN:
                core_violation(s->core, conn->id,
                        "a packet came truncated: longer than packet_bytes, or"
                        " its descriptors did not fit",
                        server_now(s));
                return true;
        default:
                return false;
        }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct conn *conn = poll->data;
        struct server *s = conn->server;
        bool is_dry = false;

        if (status < 0)
                conn->events = 0; /* libuv has stopped it */
        if (events & UV_WRITABLE)
                core_writable(s->core, conn->id);
        for (int i = 0; i < LIMIT_READS_PER_TURN && !is_dry; i++) {
                if (!receive_one(conn, &is_dry)) {
                        conn_close(conn);
                        return;
                }
        }
        if (!conn->events)
                watch(conn, UV_READABLE);
}

static int remember(struct server *s, struct conn *conn)
{
        size_t slot = conn->id.slot;

        if (slot >= s->n_conns) {
                size_t n = slot * 2 + 64;
                struct conn **conns = realloc(s->conns, n * sizeof(struct conn *));
                if (!conns)
                        return -ENOMEM;
                memset(conns + s->n_conns, 0, (n - s->n_conns) * sizeof(struct conn *));
                s->conns = conns;
                s->n_conns = n;
        }
        s->conns[slot] = conn;
        return 0;
}

/* The socket is known and its peer too: makes the session. On failure nothing is left but `fd`. */
static int enter(struct server *s, struct conn *conn, int fd)
{
        struct cred cred;
        int r = cred_of_peer(fd, &cred);

        if (r)
                return r < 0 ? r : -EPROTO;
        struct core_peer peer = {.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
        r = core_open(s->core, &peer, server_now(s), &conn->id);
        if (r < 0)
                return r;
        r = remember(s, conn);
        if (r == 0) {
                r = uv_poll_init(&s->loop, &conn->poll, fd);
                if (r < 0)
                        s->conns[conn->id.slot] = NULL; /* the caller frees it */
        }
        if (r < 0)
                core_close(s->core, conn->id, server_now(s));
        return r;
}

void conn_accept(struct server *s, int fd)
{
        struct conn *conn = calloc(1, sizeof(*conn));
        struct link *link = NULL;
        int r = link_new_adopt(fd, TRANSPORT_SEQPACKET, &s->yard, &link);

        if (!conn || r) {
                log_line("a connection was dropped: %s", strerror(r < 0 ? -r : ENOMEM));
                link_free(link);
                free(conn);
                return;
        }
        conn->server = s;
        conn->link = link;
        r = enter(s, conn, link_fd(link));
        if (r < 0) {
                log_line("a connection was dropped: %s", strerror(-r));
                link_free(link);
                free(conn);
                return;
        }
        conn->poll.data = conn;
        watch(conn, UV_READABLE);
}

/* Gives one packet to the kernel. Returns how that went; closes nothing. */
static enum core_out send_packet(struct conn *conn, const struct core_packet *packet)
{
        switch (link_send(conn->link, packet->iov, packet->n_iov, packet->fds)) {
        case 0:
                return CORE_OUT_SENT;
        case LINK_E_IN_FLIGHT:
        case LINK_E_REFUSED:
                if (packet->fds)
                        return CORE_OUT_NO_FDS;
                break;
        case LINK_E_AGAIN:
        case LINK_E_EXHAUSTED:
                return CORE_OUT_FULL;
        default:
                break;
        }
        conn->is_deaf = true;
        return CORE_OUT_FULL;
}

/* Returns true if the socket took all there was. */
static bool send_all(struct conn *conn)
{
        struct server *s = conn->server;
        struct core_packet packet;

        while (core_out_build(s->core, conn->id, &packet)) {
                enum core_out how = send_packet(conn, &packet);
                core_out_done(s->core, conn->id, how, server_now(s));
                if (how == CORE_OUT_FULL)
                        return false;
        }
        return true;
}

static void flush(struct conn *conn)
{
        struct server *s = conn->server;
        bool all = send_all(conn);

        if (!all && core_is_ending(s->core, conn->id)) {
                /* It did not read and must go: a little room so that it learns why. */
                if (link_make_room(conn->link, BYE_ROOM_BYTES) == 0) {
                        core_writable(s->core, conn->id);
                        all = send_all(conn);
                }
                conn_close(conn);
        } else if (core_is_over(s->core, conn->id)) {
                conn_close(conn);
        } else {
                bool is_waiting = !all && !conn->is_deaf;
                watch(conn, is_waiting ? UV_READABLE | UV_WRITABLE : UV_READABLE);
        }
}

void conn_flush_all(struct server *s)
{
        struct session_id id;

        while (core_next(s->core, &id))
                flush(s->conns[id.slot]);
        reaper_take(s->reaper, &s->yard);
}
