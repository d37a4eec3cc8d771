/* Design note. Writing 64 KiB to a memory file takes the loop some 30 us, as long as receiving it;
 * so nothing here needs a thread but closing. */
#include "broker/store.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>

static int append(void *arg, int *fd, const void *data, size_t len)
{
        (void)arg;
        int r = *fd < 0 ? memfile_new(fd) : 0;

        return r < 0 ? r : memfile_append(*fd, data, len);
}

/* Where files cannot be sealed, nobody else is handed one. */
static int seal(void *arg, int fd)
{
        (void)arg;
        int r = memfile_seal(fd);

        return r < 0 ? r : 0;
}

static void drop(void *arg, int fd)
{
        struct fdset *set;

        if (fdset_new_take(&fd, 1, arg, &set) == 0)
                fdset_unref(set);
}

static int copy(void *arg, int fd)
{
        (void)arg;
        int fresh = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        return fresh < 0 ? -errno : fresh;
}

struct core_store store_of(struct graveyard *yard)
{
        return (struct core_store){append, seal, drop, copy, yard};
}
