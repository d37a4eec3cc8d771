/* Design note. uv_poll_start only notes what is wanted; the loop hands it to epoll before it next
 * sleeps, and calls abort() should epoll not take it. So we add the descriptor first: where that
 * fails, one connection does. The loop then finds it there (EEXIST) and changes it, for which the
 * kernel needs nothing that could run out. (libuv 1.44, src/unix/epoll.c; later ones likewise.)
 *
 * It is added behind uv_poll_start, which takes a descriptor that was polled before out again. */
#include "broker/watch.h"

#include "proto/base/sys.h"

int watch_start(uv_poll_t *poll, int events, uv_poll_cb callback)
{
        uv_os_fd_t fd;
        int r = uv_fileno((uv_handle_t *)poll, &fd);

        if (r == 0)
                r = uv_poll_start(poll, events, callback);
        if (r < 0)
                return r;
        r = sys_watch(uv_backend_fd(poll->loop), fd);
        if (r < 0)
                uv_poll_stop(poll);
        return r;
}
