/* Design note. A heap block that doubles holds up to thrice what is in it while it is moved; at the
 * sizes that a payload may have that matters. The file is nobody else's, so it can be mapped
 * without being sealed. */
#include "client/cli/spool.h"

#include "proto/base/memfile.h"

#include <unistd.h>

enum { HEAD_BYTES = 1 << 20 };

void spool_deinit(struct spool *s)
{
        if (s->mapped)
                memfile_unmap(s->mapped, s->len);
        if (s->has_file)
                close(s->file);
        buf_deinit(&s->head);
        *s = (struct spool){0};
}

static int move_to_file(struct spool *s)
{
        int r = memfile_new(&s->file);

        if (r < 0)
                return r;
        s->has_file = true;
        r = memfile_append(s->file, s->head.data, s->head.len);
        buf_deinit(&s->head);
        return r;
}

int spool_append(struct spool *s, const void *bytes, size_t n)
{
        bool fits = !s->has_file && n <= HEAD_BYTES - s->head.len;
        int r = fits || s->has_file ? 0 : move_to_file(s);

        if (r == 0)
                r = fits ? buf_push(&s->head, bytes, n) : memfile_append(s->file, bytes, n);
        if (r == 0)
                s->len += n;
        return r;
}

int spool_data(struct spool *s, const void **ret_data)
{
        int r = 0;

        if (s->has_file && s->len && !s->mapped)
                r = memfile_map(s->file, s->len, &s->mapped);
        if (r < 0)
                return r;
        *ret_data = s->mapped ? s->mapped : s->head.data ? s->head.data : (const void *)"";
        return 0;
}
