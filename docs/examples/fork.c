/* fork.c - after fork() the parent goes on with its handle, and the child makes one of its own. */
#include <baton.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        pid_t *ret_sender = arg;

        (void)b;
        *ret_sender = m->sender.pid;
        printf("%.*s\n", (int)m->payload_len, (const char *)m->payload);
}

/* Returns what the process exits with. */
static int child(void)
{
        static const char text[] = "from the child";
        baton *mine;

        if (baton_new(&mine) < 0)
                return 1;
        int r = baton_connect(mine, NULL, 5000);
        if (r == 0)
                r = baton_publish(mine, "family.news", text, strlen(text));
        if (r == 0)
                r = baton_close(mine, 5000);
        if (r < 0)
                fprintf(stderr, "child: %s\n", baton_error(mine));
        baton_free(mine);
        return r < 0;
}

static int parent(baton *b)
{
        pid_t pid, sender = -1;
        int r = baton_subscribe(b, "family.*", NULL, on_message, &sender, NULL);

        if (r < 0)
                return r;
        if ((pid = fork()) < 0)
                return -errno;
        if (pid == 0)
                _exit(child());
        while (r >= 0 && sender < 0)
                r = baton_wait(b, -1);
        waitpid(pid, NULL, 0);
        if (r >= 0)
                printf("the kernel says so, too: %s\n", sender == pid ? "yes" : "no");
        return r < 0 ? r : 0;
}

int main(void)
{
        baton *b;

        if (baton_new(&b) < 0)
                return 1;
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = parent(b);
        if (r < 0)
                fprintf(stderr, "fork: %s\n", *baton_error(b) ? baton_error(b) : baton_strerror(r));
        baton_free(b);
        return r < 0;
}
