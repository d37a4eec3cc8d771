/* Design note. Checking every call of the packer would be most of an encoder, so the error is kept
 * here and asked for once, at the end. */
#include "proto/wire/pack.h"

#include <string.h>

/* What the packer calls; `data` is the struct pack. */
static int append(void *data, const char *bytes, size_t n)
{
        struct pack *p = data;

        if (!p->error)
                p->error = buf_push(p->out, bytes, n);
        return p->error;
}

void pack_begin(struct pack *p, struct buf *out)
{
        *p = (struct pack){.out = out, .len_before = out->len};
        msgpack_packer_init(&p->packer, p, append);
}

int pack_end(struct pack *p)
{
        if (p->error)
                p->out->len = p->len_before;
        return p->error;
}

void pack_array(struct pack *p, size_t n)
{
        msgpack_pack_array(&p->packer, n);
}

void pack_map(struct pack *p, size_t n)
{
        msgpack_pack_map(&p->packer, n);
}

void pack_uint(struct pack *p, uint64_t value)
{
        msgpack_pack_uint64(&p->packer, value);
}

void pack_int(struct pack *p, int64_t value)
{
        msgpack_pack_int64(&p->packer, value);
}

void pack_bool(struct pack *p, bool value)
{
        if (value)
                msgpack_pack_true(&p->packer);
        else
                msgpack_pack_false(&p->packer);
}

void pack_nil(struct pack *p)
{
        msgpack_pack_nil(&p->packer);
}

void pack_double(struct pack *p, double value)
{
        msgpack_pack_double(&p->packer, value);
}

void pack_str(struct pack *p, struct slice str)
{
        msgpack_pack_str_with_body(&p->packer, str.data, str.len);
}

void pack_text(struct pack *p, const char *text)
{
        msgpack_pack_str_with_body(&p->packer, text, strlen(text));
}

void pack_bin(struct pack *p, struct slice bin)
{
        msgpack_pack_bin_with_body(&p->packer, bin.data, bin.len);
}
