/* Design note. What one read brings is gathered into packets, which leave as soon as the next read
 * would have to wait: a file goes at full speed, and a line from `tail -f` at once. */
#include "client/cli/lines.h"
#include "client/cli/pub.h"

#include <inttypes.h>
#include <poll.h>

static bool is_readable(int fd)
{
        struct pollfd pfd = {.fd = fd, .events = POLLIN};

        return poll(&pfd, 1, 0) > 0;
}

static int refill(struct pub *p, struct lines *l)
{
        int status = 0;

        if (!is_readable(l->fd)) {
                int r = baton_uncork(p->cli.b);
                if (r < 0)
                        return pub_fail(p, r);
                status = pub_await_input(p, l->fd);
                baton_cork(p->cli.b);
        }
        if (status)
                return status;
        int r = lines_fill(l);
        return r < 0 ? cli_fail_about(&p->cli, r, p->source.name, NULL) : 0;
}

static int publish_line(struct pub *p, struct lines *l, const uint8_t *line, size_t len)
{
        int status = p->interval_ms && l->number > 1 ? pub_pause(p) : 0;

        return status ? status : pub_send(p, line, len);
}

static int publish_all(struct pub *p, struct lines *l)
{
        for (;;) {
                const uint8_t *line;
                size_t len;
                int status = 0;

                switch (lines_next(l, &line, &len)) {
                case 0:
                        status = publish_line(p, l, line, len);
                        break;
                case LINES_E_MORE:
                        status = refill(p, l);
                        break;
                case LINES_E_END:
                        return 0;
                default:
                        cli_say(&p->cli,
                                "line %" PRIu64 ": longer than a message can be (%zu bytes)",
                                l->number, l->longest);
                        return CLI_FAILED;
                }
                if (status)
                        return status;
        }
}

int pub_lines(struct pub *p)
{
        uint64_t limit = baton_limit(p->cli.b, "payload_bytes");
        size_t longest = limit ? limit : WIRE_FRAME_BYTES;
        struct lines l = {0};

        lines_init(&l, p->source.fd, longest);
        baton_cork(p->cli.b);
        int status = publish_all(p, &l);
        /* What stood before a line that cannot be sent arrives all the same. */
        int settled = baton_is_connected(p->cli.b) ? pub_settle(p, 0) : status;
        lines_deinit(&l);
        return status ? status : settled;
}
