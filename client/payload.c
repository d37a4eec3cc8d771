/* Design note. A placed payload is mapped for as long as somebody looks at it, one that came in
 * chunks lies in the heap; both are shared by counting. An inline one lies in the packet, which is
 * about to be used again: whoever takes it gets a copy.
 *
 * Nothing is mapped that can still be changed: memfile_sealed_size. Nor what is larger than the
 * broker lets through: a file may be as large as it likes without having a single page, until it is
 * read. */
#include "client/handle.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_FIRST_BYTES = 65536 };

int payload_map(int fd, uint64_t size, uint64_t most, struct payload **ret_payload)
{
        uint64_t is = 0;
        const void *data;
        int r = memfile_sealed_size(fd, &is);

        if (r < 0)
                return r;
        if (r || is != size || size > most || size > SIZE_MAX)
                return PAYLOAD_E_UNREADABLE;
        struct payload *p = payload_new();
        if (!p)
                return -ENOMEM;
        if ((r = memfile_map(fd, (size_t)size, &data)) < 0) {
                payload_unref(p);
                return r;
        }
        p->is_mapped = true;
        p->data = (uint8_t *)data;
        p->len = p->cap = (size_t)size;
        *ret_payload = p;
        return 0;
}

struct payload *payload_new(void)
{
        struct payload *p = malloc(sizeof(*p));

        if (p) {
                *p = (struct payload){.len = 0};
                atomic_init(&p->refs, 1);
        }
        return p;
}

int payload_append(struct payload *p, const void *data, size_t len, uint64_t hint)
{
        if (len > SIZE_MAX / 4 - p->len)
                return -ENOMEM;
        if (p->cap - p->len < len) {
                size_t cap = size_max(size_max(p->cap * 2, p->len + len), PAYLOAD_FIRST_BYTES);
                if (hint && cap > hint)
                        cap = size_max((size_t)hint, p->len + len);
                uint8_t *grown = realloc(p->data, cap);
                if (!grown)
                        return -ENOMEM;
                p->data = grown;
                p->cap = cap;
        }
        if (len)
                memcpy(p->data + p->len, data, len);
        p->len += len;
        return 0;
}

struct payload *payload_ref(struct payload *p)
{
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
        return p;
}

struct payload *payload_unref(struct payload *p)
{
        if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
                return NULL;
        if (p->is_mapped)
                memfile_unmap(p->data, p->len);
        else
                free(p->data);
        free(p);
        return NULL;
}

/* ---------------------------------------------------------------- the public calls */

static struct payload *copy(const void *data, size_t len)
{
        struct payload *p = payload_new();

        if (p && payload_append(p, data, len, len) < 0)
                return payload_unref(p);
        return p;
}

int baton_take_payload(const struct baton_message *m, struct baton_payload *ret_payload)
{
        struct payload *p = (struct payload *)m->reserved[PAYLOAD_SLOT];

        p = p ? payload_ref(p) : copy(m->payload, m->payload_len);
        if (!p)
                return -ENOMEM;
        *ret_payload = (struct baton_payload){p->len ? p->data : (const void *)"", p->len, p};
        return 0;
}

void baton_drop_payload(struct baton_payload *payload)
{
        payload_unref(payload->reserved);
        *payload = (struct baton_payload){0};
}

int baton_take_fd(const struct baton_message *m, uint32_t i)
{
        if (i >= m->n_fds)
                return -EINVAL;
        int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}
