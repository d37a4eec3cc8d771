/* conn.h - connections, for the shell's files that make them. */
#ifndef BATON_BROKER_CONN_H
#define BATON_BROKER_CONN_H

#include "broker/internal.h"
#include "proto/link/cred.h"

/* conn_new makes a connection of the socket `fd`, which it owns from now on, also when it fails. It
 * has no session and is not polled yet. Returns 0 · as link_new_adopt. */
BT_MUST int conn_new(struct server *s, int fd, enum transport transport, struct conn **ret_conn);

/* conn_enter opens its session, for who `cred` and `groups` (NULL: none) say. Returns 0 · -ENOMEM.
 */
BT_MUST int conn_enter(
        struct conn *conn, const struct cred *cred, const struct core_groups *groups);

/* conn_read.c: conn_serve reads and gives the core what comes, for about `budget` of work, and
 * tells how much it was. */
enum conn_served {
        CONN_DRY,   /* there is no more */
        CONN_READY, /* there may be */
        CONN_ENDED, /* it is to be closed */
};
enum conn_served conn_serve(struct conn *conn, uint64_t budget, uint64_t *ret_work);

/* conn_watch_on polls it for what is wanted, or closes it if that cannot be. */
void conn_watch_on(struct conn *conn);

/* turns.c. turns_enter puts it among those of its uid. turns_add: it has something to say.
 * turns_remove: it ends. turns_enter returns 0 · -ENOMEM. */
BT_MUST int turns_enter(struct conn *conn, uid_t uid);
void turns_add(struct conn *conn);
void turns_remove(struct conn *conn);

/* conn_start polls it. Returns 0 · -errno. */
BT_MUST int conn_start(struct conn *conn);

/* adopted.c */
/* adopted_identify opens the session of an adopted connection, for who sent the packet that has
 * just come. Returns false if that is not to be. */
bool adopted_identify(struct conn *conn);

/* adopted_forget: it is closed before it had a session. */
void adopted_forget(struct conn *conn);

#endif
