/* descriptor.c - hand over an open file, and read what was handed over: descriptor FILE. */
#include <baton.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_file(baton *b, const struct baton_message *m, void *arg)
{
        int *ret_fd = arg;

        (void)b;
        if (m->n_fds == 1 && *ret_fd < 0)
                *ret_fd = baton_take_fd(m, 0);
}

static int publish_file(baton *b, int fd)
{
        const struct baton_publication p = {.topic = "files.open", .fds = &fd, .n_fds = 1};

        return baton_publish_with(b, &p); /* the message has its own, `fd` stays ours */
}

/* The offset is shared by all who have the file: pread leaves it alone. */
static void print_file(int fd)
{
        char piece[4096];
        off_t at = 0;
        ssize_t n;

        while ((n = pread(fd, piece, sizeof(piece), at)) > 0) {
                fwrite(piece, 1, (size_t)n, stdout);
                at += n;
        }
}

int main(int argc, char **argv)
{
        const struct baton_subscription options = {.max_fds = 1};
        const char *name = argc == 2 ? argv[1] : "";
        int taken = -1, fd = open(name, O_RDONLY | O_CLOEXEC);
        baton *b;

        if (fd < 0 || baton_new(&b) < 0) {
                fprintf(stderr, "descriptor: '%s': %s\n", name, strerror(errno));
                return 1;
        }
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "files.*", &options, on_file, &taken, NULL);
        if (r == 0)
                r = publish_file(b, fd);
        while (r >= 0 && taken < 0)
                r = baton_wait(b, -1);
        if (r < 0)
                fprintf(stderr, "descriptor: %s\n", baton_error(b));
        else
                print_file(taken);
        baton_free(b);
        close(taken);
        close(fd);
        return r < 0;
}
