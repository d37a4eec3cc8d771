#include "tests/link/listening.h"

#include "proto/link/dgram.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int try_open(const char *text, struct listener_why *why)
{
        struct address a = broker_address(text);
        struct listener *l = NULL;
        int r = listener_open(&a, 4, &l, why);

        listener_close(l);
        return r;
}

void check_refused(const char *text, int outcome, const char *part)
{
        struct listener_why why = {""};
        int r = try_open(text, &why);

        if (r != outcome || !strstr(why.text, part))
                fail_msg("%s: %d \"%s\", expected %d \"%s\"", text, r, why.text, outcome, part);
}

bool is_there(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

int try_connect(const char *text, struct link_why *why)
{
        struct address a = client_address(text);
        struct dgram *d = NULL;
        struct link *l = NULL;
        struct cred who;
        int r = a.transport == TRANSPORT_DGRAM ? dgram_connect(&a, &d, why)
                                               : link_connect(&a, NULL, &l, &who, why);

        link_free(l);
        dgram_free(d);
        return r;
}

void check_reachable(const char *text)
{
        struct link_why why = {""};
        int r = try_connect(text, &why);

        if (r)
                fail_msg("%s: %d \"%s\"", text, r, why.text);
}

void check_unreachable(const char *text, int outcome, const char *phrase)
{
        struct link_why why = {""};

        CHECK_EQ(try_connect(text, &why), outcome);
        CHECK_STR(why.text, phrase);
}

void make_file(const char *path)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        close(fd);
}

static int serve(void *context)
{
        struct server *s = context;
        struct address a = broker_address(s->text);
        struct listener_why listener_why;
        struct listener *l = NULL;

        if (listener_open(&a, 4, &l, &listener_why) || write(s->ready[1], "r", 1) != 1)
                return 1;
        for (;;)
                pause();
}

void start_server(struct server *s, const char *text)
{
        char byte;

        s->text = text;
        CHECK_EQ(pipe2(s->ready, O_CLOEXEC), 0);
        s->pid = spawn(serve, s);
        close(s->ready[1]);
        CHECK_EQ(read(s->ready[0], &byte, 1), 1);
        close(s->ready[0]);
}

void kill_server(struct server *s)
{
        CHECK_EQ(kill(s->pid, SIGKILL), 0);
        CHECK_EQ(reap(s->pid), -1);
}
