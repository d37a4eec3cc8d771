/* Design note. A file of its own so that whoever wants credentials need not know of os.h. */
#include "proto/link/cred.h"

#include "proto/link/os.h"

#include <errno.h>
#include <stdlib.h>

int cred_of_peer(int fd, struct cred *ret)
{
        return os_peer_cred(fd, ret);
}

/* How many there are is known after a first try without room; they do not change. */
int cred_groups_of_peer(int fd, struct cred_groups *ret)
{
        size_t n = 0;
        int r = os_peer_groups(fd, NULL, 0, &n);

        *ret = (struct cred_groups){.are_unknown = r < 0 && r != -ERANGE};
        if (r != -ERANGE || !n)
                return 0;
        gid_t *gids = malloc(n * sizeof(gid_t));
        if (!gids)
                return -ENOMEM;
        if (os_peer_groups(fd, gids, n, &n) == 0) {
                *ret = (struct cred_groups){.gids = gids, .n = n};
                return 0;
        }
        free(gids);
        ret->are_unknown = true;
        return 0;
}

void cred_groups_deinit(struct cred_groups *groups)
{
        free(groups->gids);
        *groups = (struct cred_groups){.n = 0};
}
