/* Design note. A file of its own so that whoever wants credentials need not know of os.h. */
#include "proto/link/cred.h"

#include "proto/link/os.h"

int cred_of_peer(int fd, struct cred *ret)
{
        return os_peer_cred(fd, ret);
}
