/* Design note. Whose turn it is to be read. Connections that have something to say stand in line
 * behind their uid, and uids in line behind each other: where several want to be heard each gets so
 * much work done a turn of the loop, however many connections it has; and within a uid its
 * connections take turns at about a full packet each. So nobody waits for more than a little of
 * each other uid, and for a packet of each of its mates.
 *
 * Alone, a uid has a larger turn, which makes larger packets for those who receive: output is sent
 * when the turn is over. What is left in sockets makes poll return at once; what is left of packets
 * does so by way of an idle handle. */
#include "broker/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* In units of core_work, some 15 ns. */
enum {
        VISIT_WORK = 1500,        /* a full packet of small messages of one topic, or so */
        SHARED_WORK = VISIT_WORK, /* of a uid, where there are others */
        ALONE_WORK = 4 * VISIT_WORK,
};

static struct crowd *find(const struct server *s, uid_t uid)
{
        list_for_each (link, &s->crowds) {
                struct crowd *crowd = list_entry(link, struct crowd, of_server);
                if (crowd->uid == uid)
                        return crowd;
        }
        return NULL;
}

static struct crowd *make(struct server *s, uid_t uid)
{
        struct crowd *crowd = calloc(1, sizeof(*crowd));

        if (!crowd)
                return NULL;
        crowd->uid = uid;
        list_init(&crowd->ready);
        list_push_back(&s->crowds, &crowd->of_server);
        return crowd;
}

static void drop(struct crowd *crowd)
{
        if (--crowd->n_conns)
                return;
        list_remove(&crowd->in_line);
        list_remove(&crowd->of_server);
        free(crowd);
}

void turns_remove(struct conn *conn)
{
        struct crowd *crowd = conn->crowd;

        if (!crowd)
                return;
        list_remove(&conn->ready);
        conn->crowd = NULL;
        if (list_is_empty(&crowd->ready))
                list_remove(&crowd->in_line);
        drop(crowd);
}

int turns_enter(struct conn *conn, uid_t uid)
{
        struct server *s = conn->server;
        bool is_ready = list_is_linked(&conn->ready);
        struct crowd *crowd = find(s, uid);

        if (!crowd)
                crowd = make(s, uid);
        if (!crowd)
                return -ENOMEM;
        crowd->n_conns++;
        turns_remove(conn);
        conn->crowd = crowd;
        if (is_ready)
                turns_add(conn);
        return 0;
}

void turns_add(struct conn *conn)
{
        struct crowd *crowd = conn->crowd;

        if (!list_is_linked(&conn->ready))
                list_push_back(&crowd->ready, &conn->ready);
        if (!list_is_linked(&crowd->in_line))
                list_push_back(&conn->server->line, &crowd->in_line);
}

/* Returns what it took of the turn. */
static uint64_t serve(struct conn *conn, uint64_t most)
{
        uint64_t work = 0;

        list_remove(&conn->ready);
        switch (conn_serve(conn, most < VISIT_WORK ? most : VISIT_WORK, &work)) {
        case CONN_READY:
                turns_add(conn);
                break;
        case CONN_DRY:
                if (list_is_empty(&conn->crowd->ready))
                        list_remove(&conn->crowd->in_line);
                conn_watch_on(conn);
                break;
        case CONN_ENDED:
                conn_close(conn);
                break;
        }
        return work;
}

static void serve_crowd(struct crowd *crowd, uint64_t budget)
{
        struct list *link;
        uint64_t done = 0;

        crowd->n_conns++; /* it stays, whoever of it ends */
        while (done < budget && (link = list_first(&crowd->ready)))
                done += serve(list_entry(link, struct conn, ready), budget - done);
        drop(crowd);
}

static void on_idle(uv_idle_t *idle)
{
        (void)idle; /* the loop does not sleep */
}

/* Those who come in line meanwhile are served in the next turn. */
void turns_serve(struct server *s)
{
        bool is_shared = s->crowds.next != s->crowds.prev;
        struct list *first;
        size_t n = 0;

        list_for_each (link, &s->line)
                n++;
        for (; n && (first = list_first(&s->line)); n--) {
                struct crowd *crowd = list_entry(first, struct crowd, in_line);
                list_remove(first);
                list_push_back(&s->line, first);
                serve_crowd(crowd, is_shared ? SHARED_WORK : ALONE_WORK);
        }
        if (list_is_empty(&s->line))
                uv_idle_stop(&s->idle);
        else
                uv_idle_start(&s->idle, on_idle);
}
