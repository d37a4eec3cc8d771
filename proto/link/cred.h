/* cred.h - who is at the other end, as the kernel attests it. */
#ifndef BATON_LINK_CRED_H
#define BATON_LINK_CRED_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <sys/types.h>

struct cred {
        /* 0: of a pid namespace that cannot be seen from here, or the system does not say. */
        pid_t pid;
        uid_t uid;
        gid_t gid;
};

/* cred_of_peer asks the socket `fd` who connected to it, or, on the connecting side, who called
 * listen(2). Both are true for that moment, whatever uid the process has now. For a socketpair it
 * is whoever made the pair: see link_ask_cred.
 *
 * Returns 0 (judge pid 0 yourself) · -errno. */
BT_MUST int cred_of_peer(int fd, struct cred *ret);

/* Supplementary groups; as many as a process can have fit (NGROUPS_MAX of Linux is 65,536). */
struct cred_groups {
        gid_t *gids; /* [n], owned; NULL: none */
        size_t n;
        bool are_unknown; /* the system does not say */
};

/* cred_groups_of_peer asks for those of who connected (SO_PEERGROUPS, Linux 4.13), as they were
 * then. Returns 0 · -ENOMEM. */
BT_MUST int cred_groups_of_peer(int fd, struct cred_groups *ret);
void cred_groups_deinit(struct cred_groups *groups);

#endif
