/* Design note. Chunked payloads are kept in files that have a size and no bytes: what counts is
 * that the core asks for the right part of the right file. */
#include "tests/fuzz/session_play.h"

#include <errno.h>
#include <string.h>

int file_new(struct play *p, uint64_t size)
{
        must(buf_push(&p->files, &size, sizeof(size)) == 0);
        return FIRST_FILE + (int)(p->files.len / sizeof(size)) - 1;
}

static uint8_t *size_at(const struct play *p, int fd)
{
        size_t at = (size_t)(fd - FIRST_FILE) * sizeof(uint64_t);

        must(fd >= FIRST_FILE && at < p->files.len);
        return p->files.data + at;
}

static int append(void *arg, int *fd, const void *data, size_t len)
{
        struct play *p = arg;
        uint64_t size;

        must(data && len);
        if (p->is_store_full)
                return -ENOSPC;
        if (*fd < 0)
                *fd = file_new(p, 0);
        memcpy(&size, size_at(p, *fd), sizeof(size));
        size += len;
        memcpy(size_at(p, *fd), &size, sizeof(size));
        return 0;
}

static int seal(void *arg, int fd)
{
        const struct play *p = arg;

        (void)size_at(p, fd);
        return p->is_store_full ? -EIO : 0;
}

static void drop(void *arg, int fd)
{
        (void)size_at(arg, fd);
}

static int copy(void *arg, int fd)
{
        struct play *p = arg;
        uint64_t size = 0;

        if (p->is_store_full)
                return -EMFILE;
        if (fd >= FIRST_FILE)
                memcpy(&size, size_at(p, fd), sizeof(size));
        return file_new(p, size);
}

struct core_store file_store(struct play *p)
{
        return (struct core_store){append, seal, drop, copy, p};
}

void file_read(const struct play *p, const struct core_packet *packet)
{
        uint64_t size;

        memcpy(&size, size_at(p, packet->fill_fd), sizeof(size));
        must(packet->fill_at + packet->fill_len <= size);
        memset(packet->fill, 0xc1, packet->fill_len);
}
