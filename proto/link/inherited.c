/* Design note. Whoever made a socket may have made it otherwise than we do (os_socket); what it is
 * only the kernel says. */
#include "proto/link/inherited.h"

#include "proto/link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

int inherited_type(int fd, int *ret_type)
{
        struct sockaddr_un addr;
        socklen_t addr_len = sizeof(addr), type_len = sizeof(*ret_type);

        if (getsockname(fd, (struct sockaddr *)&addr, &addr_len) < 0)
                return -errno;
        if (addr.sun_family != AF_UNIX)
                return LINK_E_WRONG_TYPE;
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, ret_type, &type_len) < 0 ? -errno : 0;
}

int inherited_prepare(int fd)
{
        int status = fcntl(fd, F_GETFL);

        if (status < 0)
                return -errno;
        if (!(status & O_NONBLOCK) && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
                return -errno;
        return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}
