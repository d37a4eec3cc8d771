#include "tests/link/fed.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void open_fed(struct fed *f)
{
        int fds[2];

        *f = (struct fed){.raw = -1};
        raw_pair_of(SOCK_STREAM, fds);
        f->raw = fds[0];
        f->link = link_of(fds[1], TRANSPORT_STREAM, &f->yard);
}

void close_fed(struct fed *f)
{
        link_free(f->link);
        if (f->raw >= 0)
                close(f->raw);
        CHECK_NULL(graveyard_take(&f->yard));
}

void leave(struct fed *f)
{
        close(f->raw);
        f->raw = -1;
}

void feed(struct fed *f, const void *bytes, size_t len, size_t n_fds)
{
        CHECK_EQ(raw_send_fds(f->raw, bytes, len, n_fds), len);
}

int take(struct fed *f)
{
        struct fdset *fds = NULL;

        memset(f->buf, 0xee, sizeof(f->buf));
        int r = link_recv(f->link, f->buf, sizeof(f->buf), &f->len, &fds);
        f->n_fds = fdset_n(fds);
        fdset_unref(fds);
        f->n_buried = yard_bury(&f->yard);
        if (r == 0 || r == LINK_E_AGAIN) /* nobody else has any */
                CHECK_EQ(f->n_buried, f->n_fds);
        return r;
}

void check_packet(struct fed *f, const void *body, size_t len, size_t n_fds)
{
        CHECK_EQ(take(f), 0);
        CHECK_EQ(f->len, len);
        CHECK_BYTES(f->buf, body, len);
        CHECK_EQ(f->n_fds, n_fds);
}

bool is_readable(struct fed *f)
{
        return link_wait(f->link, POLLIN, 0) == 0;
}

size_t wire(uint8_t *out, const void *body, size_t len)
{
        uint8_t head[HEAD] = {0xce, 0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

        memcpy(out, head, HEAD);
        memcpy(out + HEAD, body, len);
        return HEAD + len;
}
