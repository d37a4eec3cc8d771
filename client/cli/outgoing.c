/* Design note. A payload is read whole before the broker is asked for anything: a pipeline that
 * fails halfway must not leave half a message. How large one may be is the broker's to say. */
#include "client/cli/outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

void outgoing_deinit(struct outgoing *o)
{
        for (size_t i = 0; i < o->n_fds; i++)
                close(o->fds[i]);
        buf_deinit(&o->content);
        *o = (struct outgoing){0};
}

int outgoing_add_header(const struct cli *cli, struct outgoing *o, const char *text)
{
        const char *equals = strchr(text, '=');

        if (!equals || equals == text)
                return cli_usage(cli, "--header %s: expected KEY=VALUE", text);
        if (o->n_headers == ARRAY_LEN(o->headers))
                return cli_usage(cli, "at most %zu headers", ARRAY_LEN(o->headers));
        o->headers[o->n_headers++] = (struct baton_header){
                .key = text,
                .key_len = (size_t)(equals - text),
                .kind = BATON_STR,
                .value.bytes = {equals + 1, strlen(equals + 1)},
        };
        return 0;
}

int outgoing_open(const struct cli *cli, const char *path, int *ret_fd)
{
        if (!strcmp(path, "-")) {
                *ret_fd = STDIN_FILENO;
                return 0;
        }
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return cli_fail_about(cli, -errno, path, NULL);
        *ret_fd = fd;
        return 0;
}

int outgoing_add_fd(const struct cli *cli, struct outgoing *o, const char *path)
{
        if (o->n_fds == ARRAY_LEN(o->fds))
                return cli_usage(cli, "at most %zu descriptors", ARRAY_LEN(o->fds));
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return cli_fail_about(cli, -errno, path, NULL);
        o->fds[o->n_fds++] = fd;
        return 0;
}

/* Returns 0 · -errno. */
static int read_all(int fd, struct buf *content)
{
        for (;;) {
                uint8_t *tail;
                int r = buf_reserve(content, READ_BYTES, &tail);
                if (r < 0)
                        return r;
                ssize_t n = read(fd, tail, READ_BYTES);
                if (n < 0 && errno == EAGAIN) /* somebody made it non-blocking */
                        (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
                else if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                content->len += n > 0 ? (size_t)n : 0;
        }
}

int outgoing_read(const struct cli *cli, struct outgoing *o, const char *path)
{
        int fd, status = outgoing_open(cli, path, &fd);

        if (status)
                return status;
        int r = read_all(fd, &o->content);
        if (fd != STDIN_FILENO)
                close(fd);
        if (r < 0)
                return cli_fail_about(cli, r, fd == STDIN_FILENO ? "stdin" : path, NULL);
        o->payload = o->content.data;
        o->payload_len = o->content.len;
        return 0;
}

int outgoing_take(const struct cli *cli, struct outgoing *o, const char *text)
{
        if (!text)
                return 0;
        if (!strcmp(text, "-"))
                return outgoing_read(cli, o, text);
        o->payload = text;
        o->payload_len = strlen(text);
        return 0;
}

struct baton_publication outgoing_publication(const struct outgoing *o, const char *topic)
{
        return (struct baton_publication){
                .topic = topic,
                .payload = o->payload,
                .payload_len = o->payload_len,
                .headers = o->headers,
                .n_headers = o->n_headers,
                .fds = o->fds,
                .n_fds = o->n_fds,
        };
}
