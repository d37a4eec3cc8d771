/* Design note. A size is believed only of regular files, and only if there is one: files of /proc
 * say 0 and have content all the same. */
#include "client/cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void measure(struct source *s)
{
        struct stat st;

        if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        off_t at = lseek(s->fd, 0, SEEK_CUR);
        if (at < 0)
                return;
        s->is_regular = true;
        s->start = at;
        s->size = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
}

int source_open(const struct cli *cli, const char *path, struct source *ret_source)
{
        struct source s = {.name = path, .owns_fd = true};

        if (!strcmp(path, "-")) {
                s.name = "stdin";
                s.owns_fd = false;
                s.fd = STDIN_FILENO;
        } else {
                s.fd = open(path, O_RDONLY | O_CLOEXEC);
                if (s.fd < 0)
                        return cli_fail_about(cli, -errno, path, NULL);
        }
        measure(&s);
        *ret_source = s;
        return 0;
}

void source_close(struct source *s)
{
        if (s->owns_fd)
                close(s->fd);
        buf_deinit(&s->head);
        *s = (struct source){0};
}

int source_read(struct source *s, void *to, size_t cap, size_t *ret_n)
{
        ssize_t n;

        do
                n = read(s->fd, to, cap);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        *ret_n = (size_t)n;
        return 0;
}

void source_keep(struct source *s, int fd, uint64_t size)
{
        if (s->owns_fd)
                close(s->fd);
        s->fd = fd;
        s->owns_fd = s->is_regular = true;
        s->start = 0;
        s->size = size;
}

int source_rewind(struct source *s)
{
        if (!s->is_regular)
                return 0;
        return lseek(s->fd, s->start + (off_t)s->head.len, SEEK_SET) < 0 ? -errno : 0;
}
