/* Design note. A payload that fits one piece is read whole and sent like any other. A larger one
 * goes through the same piece of memory from read to baton_write, so that its size does not matter;
 * until baton_end has been called the broker knows of it at most that it has begun, and what fails
 * half way was never published.
 *
 * A regular file that has another size at its end than it had at first was changed while it was
 * read: what was read of it may be half of the old and half of the new, and is nobody's message. */
#include "client/cli/pub.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 << 10 };

static int fail_reading(struct pub *p, int error, const char *text)
{
        progress_end(&p->progress);
        return cli_fail_about(&p->cli, error, p->source.name, text);
}

/* Reads something, or the end (*ret_n = 0). */
static int read_some(struct pub *p, void *to, size_t cap, size_t *ret_n)
{
        struct source *s = &p->source;
        int r = 0, status = s->is_regular ? 0 : pub_await_input(p, s->fd);

        while (status == 0 && (r = source_read(s, to, cap, ret_n)) == -EAGAIN)
                status = pub_await_input(p, s->fd);
        if (status)
                return status;
        return r < 0 ? fail_reading(p, r, NULL) : 0;
}

/* ---------------------------------------------------------------- the beginning */

static int read_head(struct pub *p)
{
        struct source *s = &p->source;
        uint8_t *tail;

        while (s->head.len < PIECE_BYTES) {
                size_t n = 0;
                int r = buf_reserve(&s->head, PIECE_BYTES - s->head.len, &tail);
                if (r < 0)
                        return fail_reading(p, r, NULL);
                int status = read_some(p, tail, PIECE_BYTES - s->head.len, &n);
                if (status)
                        return status;
                if (n == 0) {
                        s->is_whole = true;
                        return 0;
                }
                s->head.len += n;
        }
        return 0;
}

static int fail_keeping(struct pub *p, int fd, int error)
{
        close(fd);
        return fail_reading(p, error, NULL);
}

/* Reads the rest into a memory file, from which it can be read again and again. */
static int keep_all(struct pub *p, uint64_t most)
{
        struct source *s = &p->source;
        uint8_t piece[PIECE_BYTES];
        uint64_t size = s->head.len;
        int fd, r = memfile_new(&fd);

        if (r < 0)
                return fail_reading(p, r, NULL);
        r = memfile_append(fd, s->head.data, s->head.len);
        for (size_t n = 1; n && r == 0; size += n) {
                int status = read_some(p, piece, sizeof(piece), &n);
                if (status) {
                        close(fd);
                        return status;
                }
                if (size + n > most)
                        return fail_keeping(p, fd, -EMSGSIZE);
                r = memfile_append(fd, piece, n);
        }
        if (r < 0)
                return fail_keeping(p, fd, r);
        source_keep(s, fd, size);
        return 0;
}

int pub_prepare(struct pub *p)
{
        struct source *s = &p->source;
        uint64_t most = baton_limit(p->cli.b, "payload_bytes");
        int status = read_head(p);

        if (status)
                return status;
        /* What fits a piece is what the file was when it was read, whatever size it was said to
         * have: those of /sys say 4096 and have less. */
        if (s->is_whole)
                return s->size > PIECE_BYTES
                               ? fail_reading(p, -EIO, "it became smaller while it was read")
                               : 0;
        if (s->size && s->size < s->head.len)
                return fail_reading(p, -EIO, "it grew while it was read");
        if (p->is_datagram)
                return fail_reading(p, -EMSGSIZE, "more than a datagram can hold");
        return p->count > 1 && !s->is_regular ? keep_all(p, most ? most : UINT64_MAX) : 0;
}

/* ---------------------------------------------------------------- the whole */

static int write_piece(struct pub *p, const void *piece, size_t n)
{
        int r = baton_write(p->cli.b, piece, n);

        if (r < 0)
                return pub_fail(p, r);
        progress_add(&p->progress, n);
        /* It may have been refused meanwhile. */
        r = baton_process(p->cli.b);
        return r < 0 ? pub_fail(p, r) : p->status;
}

static int write_rest(struct pub *p)
{
        struct source *s = &p->source;
        uint8_t piece[PIECE_BYTES];
        uint64_t left = s->size ? s->size - s->head.len : UINT64_MAX;

        for (;;) {
                size_t n = 0;
                /* Where the end should be one byte more is asked for. */
                size_t most = left < sizeof(piece) ? (size_t)left + !left : sizeof(piece);
                int status = read_some(p, piece, most, &n);
                if (status)
                        return status;
                if (n == 0)
                        return s->size && left ? fail_reading(p, -EIO,
                                                         "it became smaller while it was read")
                                               : 0;
                if (!left)
                        return fail_reading(p, -EIO, "it grew while it was read");
                left -= s->size ? n : 0;
                if ((status = write_piece(p, piece, n)))
                        return status;
        }
}

static int write_all(struct pub *p)
{
        struct source *s = &p->source;
        int r = source_rewind(s), status = 0;

        if (r < 0)
                return fail_reading(p, r, NULL);
        progress_start(&p->progress, s->name, s->size);
        status = write_piece(p, s->head.data, s->head.len);
        if (status == 0)
                status = write_rest(p);
        progress_end(&p->progress);
        if (status)
                return status;
        r = baton_end(p->cli.b);
        return r < 0 ? pub_fail(p, r) : 0;
}

int pub_upload(struct pub *p)
{
        struct source *s = &p->source;
        struct baton_publication m = pub_publication(p);
        int r, status;

        if (s->is_whole)
                return pub_send(p, s->head.data, s->head.len);
        while ((r = baton_begin(p->cli.b, &m, s->size, pub_on_done, p)) == -ENOBUFS) {
                if ((status = pub_settle_half(p)))
                        return status;
        }
        if (r < 0)
                return pub_fail(p, r);
        p->n_sent++;
        status = write_all(p);
        if (status) {
                baton_abandon(p->cli.b);
                /* They end in their order: has this one, by a refusal? */
                if (p->n_done < p->n_sent)
                        p->n_sent--;
        }
        return status;
}
