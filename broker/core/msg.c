/* Design note. One copy: from the receive buffer into a msg, which every queue then shares. The
 * bytes are the PUB frames as they came in and are sent as they are. */
#include "broker/core/internal.h"

#include <stdlib.h>
#include <string.h>

struct msg *msg_new(const void *data, size_t len)
{
        struct msg *m = malloc(sizeof(*m) + len);

        if (!m)
                return NULL;
        *m = (struct msg){.refs = 1, .len = (uint32_t)len};
        memcpy(m->data, data, len);
        return m;
}

struct msg *msg_ref(struct msg *m)
{
        m->refs++;
        return m;
}

void msg_unref(struct msg *m)
{
        if (!m || --m->refs)
                return;
        fdset_unref(m->fds);
        free(m);
}

void subset_unref(struct subset *s)
{
        if (s && !--s->refs)
                free(s);
}
