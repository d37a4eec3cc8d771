/* Design note. The payload of a request is read whole before it is sent. A descriptor that is named
 * as /dev/fd/N is duplicated, not opened: a socket cannot be opened at all, and a file would lose
 * its mode and its offset. */
#include "client/cli/outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

void outgoing_deinit(struct outgoing *o)
{
        for (size_t i = 0; i < o->n_fds; i++)
                close(o->fds[i]);
        spool_deinit(&o->content);
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

/* Returns a copy of our descriptor that `number` tells · -errno. */
static int duplicate(const char *number)
{
        char *end;

        errno = 0;
        long fd = strtol(number, &end, 10);
        if (number[0] < '0' || number[0] > '9' || *end || errno || fd > INT_MAX)
                return -ENOENT;
        int copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
        return copy < 0 ? -errno : copy;
}

static int open_or_duplicate(const char *path)
{
        static const char lead[] = "/dev/fd/";

        if (!strncmp(path, lead, strlen(lead)))
                return duplicate(path + strlen(lead));
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int outgoing_add_fd(const struct cli *cli, struct outgoing *o, const char *path)
{
        if (o->n_fds == ARRAY_LEN(o->fds))
                return cli_usage(cli, "at most %zu descriptors", ARRAY_LEN(o->fds));
        int fd = open_or_duplicate(path);
        if (fd < 0)
                return cli_fail_about(cli, fd, path, NULL);
        o->fds[o->n_fds++] = fd;
        return 0;
}

void outgoing_set_text(struct outgoing *o, const char *text)
{
        o->payload = text;
        o->payload_len = text ? strlen(text) : 0;
}

/* Returns 0 · -EMSGSIZE · -errno. */
static int read_all(int fd, struct spool *content, uint64_t most)
{
        uint8_t piece[READ_BYTES];
        int r = 0;

        while (r == 0) {
                ssize_t n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno == EAGAIN) /* somebody made it non-blocking */
                        (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
                else if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                if (n > 0)
                        r = (uint64_t)n > most - content->len
                                    ? -EMSGSIZE
                                    : spool_append(content, piece, (size_t)n);
        }
        return r;
}

int outgoing_read_stdin(const struct cli *cli, struct outgoing *o, uint64_t most)
{
        int r = read_all(STDIN_FILENO, &o->content, most);

        if (r == -EMSGSIZE) {
                cli_say(cli, "stdin: larger than a message can be (%" PRIu64 " bytes)", most);
                return cli_status_of(r);
        }
        if (r == 0)
                r = spool_data(&o->content, &o->payload);
        if (r < 0)
                return cli_fail_about(cli, r, "stdin", NULL);
        o->payload_len = o->content.len;
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
