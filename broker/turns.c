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
        ALONE_WORK = 16 * VISIT_WORK,
};

static struct crowd *find(const struct server *s, uid_t uid)
{
        list_for_each (link, &s->crowds) {
                struct crowd *f = list_entry(link, struct crowd, of_server);
                if (f->uid == uid)
                        return f;
        }
        return NULL;
}

static struct crowd *make(struct server *s, uid_t uid)
{
        struct crowd *f = calloc(1, sizeof(*f));

        if (!f)
                return NULL;
        f->uid = uid;
        list_init(&f->ready);
        list_push_back(&s->crowds, &f->of_server);
        return f;
}

static void drop(struct crowd *f)
{
        if (--f->n_conns)
                return;
        list_remove(&f->in_line);
        list_remove(&f->of_server);
        free(f);
}

void turns_remove(struct conn *conn)
{
        struct crowd *f = conn->crowd;

        if (!f)
                return;
        list_remove(&conn->ready);
        conn->crowd = NULL;
        if (list_is_empty(&f->ready))
                list_remove(&f->in_line);
        drop(f);
}

int turns_enter(struct conn *conn, uid_t uid)
{
        struct server *s = conn->server;
        bool is_ready = list_is_linked(&conn->ready);
        struct crowd *f = find(s, uid);

        if (!f)
                f = make(s, uid);
        if (!f)
                return -ENOMEM;
        f->n_conns++;
        turns_remove(conn);
        conn->crowd = f;
        if (is_ready)
                turns_add(conn);
        return 0;
}

void turns_add(struct conn *conn)
{
        struct crowd *f = conn->crowd;

        if (!list_is_linked(&conn->ready))
                list_push_back(&f->ready, &conn->ready);
        if (!list_is_linked(&f->in_line))
                list_push_back(&conn->server->line, &f->in_line);
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

static void serve_crowd(struct crowd *f, uint64_t budget)
{
        struct list *link;
        uint64_t done = 0;

        f->n_conns++; /* it stays, whoever of it ends */
        while (done < budget && (link = list_first(&f->ready)))
                done += serve(list_entry(link, struct conn, ready), budget - done);
        drop(f);
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
                struct crowd *f = list_entry(first, struct crowd, in_line);
                list_remove(first);
                list_push_back(&s->line, first);
                serve_crowd(f, is_shared ? SHARED_WORK : ALONE_WORK);
        }
        if (list_is_empty(&s->line))
                uv_idle_stop(&s->idle);
        else
                uv_idle_start(&s->idle, on_idle);
}
