/* Design note. A connection is a socket polled by libuv and a session of the core. Input is read in
 * turns (turns.c, conn_read.c); output is sent once a turn, after all input of the turn
 * (conn_flush_all), so that what many publishers sent shares packets.
 *
 * Sending is tried first; writability is watched only after the kernel refused. libuv reports an
 * error condition of the socket as a negative status and stops polling, although packets may be
 * waiting behind it (F2): it is treated as readable, and polling starts again. A connection ends
 * only when the kernel says so by an end of file, or when the core has said BYE. A peer that reads
 * no more (shutdown, or it is about to be gone) may still speak; its socket counts as writable all
 * the time, so that is not watched any more: what is queued for it stays, as for any that does not
 * read.
 *
 * Descriptors may come in from the moment before WELCOME goes out, from sessions that have a right
 * to send some; until then the socket refuses them (Linux 6.16). */
#include "broker/conn.h"

#include "broker/log.h"
#include "broker/watch.h"
#include "proto/base/memfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BYE_ROOM_BYTES = 8192, BURIED_AT_ONCE = 64, BURIAL_NS = 1000000 };

static void freed(uv_handle_t *handle)
{
        free(handle->data);
}

void conn_close(struct conn *conn)
{
        struct server *s = conn->server;

        if (conn->id.generation) {
                core_close(s->core, conn->id, server_now(s));
                s->conns[conn->id.slot] = NULL;
        } else {
                adopted_forget(conn);
        }
        turns_remove(conn);
        buf_deinit(&conn->rest);
        uv_close(
                (uv_handle_t *)&conn->poll, freed); /* forgets the descriptor before it is closed */
        conn->link = link_bury(conn->link);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static int wanted(bool is_waiting)
{
        return is_waiting ? UV_READABLE | UV_WRITABLE : UV_READABLE;
}

/* Returns 0 · -errno, and it is not polled any more. */
static int watch(struct conn *conn, int events)
{
        if (conn->events == events)
                return 0;
        int r = watch_start(&conn->poll, events, on_poll);
        conn->events = r < 0 ? 0 : events;
        return r;
}

/* Sending has failed, and not because the socket is full. */
static void note_failure(struct conn *conn, int outcome)
{
        uv_timer_t *rest = &conn->server->rest;

        switch (outcome) {
        case LINK_E_GONE:
                conn->is_deaf = true;
                break;
        case LINK_E_EXHAUSTED: /* the socket may be writable all the same */
                conn->is_resting = true;
                if (!uv_is_active((uv_handle_t *)rest))
                        uv_timer_start(rest, conn_on_rested, LIMIT_ACCEPT_PAUSE_MS, 0);
                break;
        default:
                conn->is_broken = true;
                break;
        }
}

/* ------------------------------------------------------------------- events */

static void on_writable(struct conn *conn)
{
        struct server *s = conn->server;
        int r = link_flush(conn->link);

        if (r == 0)
                core_writable(s->core, conn->id, server_now(s));
        else if (r != LINK_E_AGAIN)
                note_failure(conn, r);
}

/* What there is to read is read in its turn (turns.c). */
static void on_poll(uv_poll_t *poll, int status, int events)
{
        struct conn *conn = poll->data;

        if (status < 0)
                conn->events = 0; /* libuv has stopped it */
        if (events & UV_WRITABLE)
                on_writable(conn);
        if (status < 0 || (events & UV_READABLE))
                turns_add(conn);
        conn_watch_on(conn);
}

void conn_watch_on(struct conn *conn)
{
        bool is_waiting = (conn->events & UV_WRITABLE) && !conn->is_deaf && !conn->is_resting;

        if (conn->is_broken || watch(conn, wanted(is_waiting)) < 0)
                conn_close(conn);
}

void conn_on_rested(uv_timer_t *timer)
{
        struct server *s = timer->data;

        for (size_t i = 0; i < s->n_conns; i++) {
                struct conn *conn = s->conns[i];
                if (!conn || !conn->is_resting)
                        continue;
                conn->is_resting = false;
                if (watch(conn, wanted(true)) < 0)
                        conn_close(conn);
        }
}

/* -------------------------------------------------------------- beginning */

static int remember(struct server *s, struct conn *conn)
{
        size_t slot = conn->id.slot;

        if (slot >= s->n_conns) {
                size_t n = slot * 2 + 8;
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

int conn_enter(struct conn *conn, const struct cred *cred, const struct core_groups *groups)
{
        struct server *s = conn->server;
        struct core_peer peer = {.pid = cred->pid, .uid = cred->uid, .gid = cred->gid};
        int r = core_open(s->core, &peer, groups, server_now(s), &conn->id);

        if (r < 0)
                return r;
        r = turns_enter(conn, cred->uid);
        if (r == 0)
                r = remember(s, conn); /* last: there may be no place for it to be forgotten in */
        if (r < 0) {
                core_close(s->core, conn->id, server_now(s));
                conn->id = (struct session_id){0};
        }
        return r;
}

int conn_new(struct server *s, int fd, enum transport transport, struct conn **ret_conn)
{
        struct conn *conn = calloc(1, sizeof(*conn));
        struct link *link = NULL;
        int r = link_new_adopt(fd, transport, &s->yard, &link);

        if (r == 0 && !conn)
                r = -ENOMEM;
        if (r == 0)
                r = uv_poll_init(&s->loop, &conn->poll, link_fd(link));
        if (r) {
                link_free(link);
                free(conn);
                return r;
        }
        conn->server = s;
        conn->link = link;
        conn->poll.data = conn;
        *ret_conn = conn;
        return 0;
}

int conn_start(struct conn *conn)
{
        return watch(conn, wanted(false));
}

static int accepted(struct server *s, int fd, enum transport transport)
{
        struct cred_groups groups cleanup_(cred_groups_deinit) = {.n = 0};
        struct conn *conn;
        struct cred cred;
        int r = conn_new(s, fd, transport, &conn);

        if (r)
                return r;
        if (link_lets_fds_in(conn->link)) /* it was there before the listener was ours */
                r = link_allow_fds(conn->link, false);
        if (r == 0)
                r = cred_of_peer(link_fd(conn->link), &cred);
        if (r == 0 && s->policy_path) /* else nobody asks for groups */
                r = cred_groups_of_peer(link_fd(conn->link), &groups);
        if (r == 0)
                r = conn_enter(conn, &cred,
                        groups.are_unknown ? NULL : &(struct core_groups){groups.gids, groups.n});
        if (r == 0)
                r = conn_start(conn);
        if (r)
                conn_close(conn);
        return r;
}

void conn_accept(struct server *s, int fd, enum transport transport)
{
        int r = accepted(s, fd, transport);

        if (r)
                log_line("a connection was dropped: %s", strerror(r < 0 ? -r : EPROTO));
}

/* ----------------------------------------------------------------- output */

/* Gives one packet to the kernel. Returns how that went; closes nothing. */
static enum core_out send_packet(struct conn *conn, const struct core_packet *p)
{
        if (bt_unlikely(p->fill_len) &&
                memfile_read(p->fill_fd, p->fill_at, p->fill, p->fill_len) < 0)
                return CORE_OUT_UNREADABLE;
        int r = link_send(conn->link, p->iov, p->n_iov, p->fds, p->n_fds);
        switch (r) {
        case 0:
                return CORE_OUT_SENT;
        case LINK_E_IN_FLIGHT:
                return CORE_OUT_SCARCE;
        case LINK_E_REFUSED:
                return CORE_OUT_NO_FDS;
        case LINK_E_AGAIN:
                return CORE_OUT_FULL;
        default:
                note_failure(conn, r);
                return CORE_OUT_FULL;
        }
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

/* It did not read and must go: a little room so that it learns why. */
static void say_last_word(struct conn *conn)
{
        struct server *s = conn->server;
        size_t room = BYE_ROOM_BYTES + (link_is_unsent(conn->link) ? WIRE_PACKET_BYTES : 0);

        if (link_make_room(conn->link, room) < 0 || link_flush(conn->link))
                return;
        core_writable(s->core, conn->id, server_now(s));
        (void)send_all(conn);
}

void conn_let_fds_in(struct conn *conn)
{
        bool may = core_may_send_fds(conn->server->core, conn->id);

        if (conn->takes_fds == may)
                return;
        conn->takes_fds = may;
        /* If that fails the kernel tells its client EPERM when it tries, or the core refuses. */
        (void)!link_allow_fds(conn->link, may);
}

static void flush(struct conn *conn)
{
        struct server *s = conn->server;

        conn_let_fds_in(conn);
        bool all = send_all(conn) && !link_is_unsent(conn->link);
        bool is_waiting = !all && !conn->is_deaf && !conn->is_resting;
        if (!all && core_is_ending(s->core, conn->id)) {
                say_last_word(conn);
                conn_close(conn);
        } else if (conn->is_broken || core_is_over(s->core, conn->id) ||
                   watch(conn, wanted(is_waiting)) < 0) {
                conn_close(conn);
        }
}

void conn_bury_all(struct server *s)
{
        if (!s->yard.dead)
                return;
        s->n_buried = s->yard.n_laid;
        reaper_take(s->reaper, &s->yard);
}

/* To wake the reaper costs more than to close a descriptor: a few wait for each other, a little. */
static void bury(struct server *s)
{
        if (s->yard.n_laid - s->n_buried >= BURIED_AT_ONCE)
                conn_bury_all(s);
        else if (s->yard.dead)
                alarm_advance(&s->alarm, server_now(s) + BURIAL_NS);
}

void conn_flush_all(struct server *s)
{
        struct session_id id;

        while (core_next(s->core, &id))
                flush(s->conns[id.slot]);
        bury(s);
}
