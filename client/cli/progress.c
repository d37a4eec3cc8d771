/* Design note. Carriage returns and spaces, which every terminal knows. Each drawing is one
 * write(2) and covers what stood there before. */
#include "client/cli/progress.h"

#include "client/cli/common.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
        LEAST_BYTES = 8 << 20,
        PERIOD_MS = 100,
        /* Columns: of all, so that it never wraps, and of the name. */
        WIDTH = 79,
        NAME_WIDTH = 32,
};

/* `text` [len], then as many spaces as cover what was there, then back to the left. */
static void draw(struct progress *p, const char *text, size_t len)
{
        char line[2 * WIDTH + 2];
        size_t covered = size_max(len, p->width);

        if (len)
                memcpy(line, text, len);
        memset(line + len, ' ', covered - len);
        line[covered] = '\r';
        ssize_t n = write(STDERR_FILENO, line, covered + 1);
        (void)n; /* it is only for show */
        p->width = len;
}

static void put_name(char to[NAME_WIDTH + 1], const char *name)
{
        snprintf(to, NAME_WIDTH + 1, "%s", name);
        for (char *at = to; *at; at++) {
                if ((unsigned char)*at < ' ' || *at == 0x7f)
                        *at = ' ';
        }
}

static void show(struct progress *p, uint64_t now_ns)
{
        char text[WIDTH + 1], name[NAME_WIDTH + 1];
        double megabytes = (double)p->done / 1e6;
        double rate = (double)p->done * 1e3 / (double)(now_ns - p->begun_ns + 1);
        int n;

        put_name(name, p->name);
        if (p->total)
                n = snprintf(text, sizeof(text), "%s: %3u%%, %.1f of %.1f MB, %.0f MB/s", name,
                        (unsigned)(p->done * 100 / p->total), megabytes, (double)p->total / 1e6,
                        rate);
        else
                n = snprintf(text, sizeof(text), "%s: %.1f MB, %.0f MB/s", name, megabytes, rate);
        draw(p, text, n < 0 ? 0 : size_min((size_t)n, WIDTH));
        p->drawn_ns = now_ns;
}

void progress_start(struct progress *p, const char *name, uint64_t total)
{
        *p = (struct progress){.name = name, .total = total};
        p->is_shown = (!total || total > LEAST_BYTES) && isatty(STDERR_FILENO);
        if (p->is_shown)
                p->begun_ns = cli_now_ns();
}

void progress_add(struct progress *p, size_t n)
{
        p->done += n;
        if (!p->is_shown || (!p->total && p->done <= LEAST_BYTES))
                return;
        uint64_t now_ns = cli_now_ns();
        if (now_ns >= p->drawn_ns + PERIOD_MS * UINT64_C(1000000))
                show(p, now_ns);
}

void progress_end(struct progress *p)
{
        if (p->width)
                draw(p, "", 0);
        p->is_shown = false;
}
