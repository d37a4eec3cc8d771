/* chat.c - talk with all who run it: chat NAME. The name is what somebody calls himself; uid and
 * pid are what the kernel says he is. */
#include <baton.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_line(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)arg;
        printf("%s (uid %u, pid %d): %.*s\n", m->topic + strlen("chat."), m->sender.uid,
                m->sender.pid, (int)m->payload_len, (const char *)m->payload);
}

int main(int argc, char **argv)
{
        char topic[300], line[1000];
        baton *b;

        if (argc != 2 || baton_new(&b) < 0) {
                fprintf(stderr, "usage: chat NAME\n");
                return 2;
        }
        snprintf(topic, sizeof(topic), "chat.%s", argv[1]);
        setvbuf(stdin, NULL, _IONBF, 0); /* nothing read ahead, where poll would not see it */
        setvbuf(stdout, NULL, _IOLBF, 0);
        baton_set_no_echo(b, true);
        int r = baton_connect(b, NULL, 5000);
        if (r == 0)
                r = baton_subscribe(b, "chat.*", NULL, print_line, NULL, NULL);
        while (r >= 0 && (r = baton_process(b)) >= 0) {
                struct pollfd fds[] = {
                        {STDIN_FILENO, POLLIN, 0}, {baton_fd(b), baton_events(b), 0}};
                if (poll(fds, 2, baton_timeout(b)) < 1 || !fds[0].revents)
                        continue;
                if (!fgets(line, sizeof(line), stdin))
                        break;
                r = baton_publish(b, topic, line, strcspn(line, "\n"));
        }
        if (r >= 0)
                r = baton_close(b, 5000);
        if (r < 0)
                fprintf(stderr, "chat: %s\n", baton_error(b));
        baton_free(b);
        return r < 0;
}
