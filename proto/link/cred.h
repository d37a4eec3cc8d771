/* cred.h - who is at the other end, as the kernel attests it. */
#ifndef BATON_LINK_CRED_H
#define BATON_LINK_CRED_H

#include "proto/base/defs.h"
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

#endif
