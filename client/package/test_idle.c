/* What a handle costs that does nothing: makes COUNT of them and prints, per handle, the heap, the
 * resident memory and the descriptors
 *
 *      idle ADDRESS COUNT
 *
 * when they are not connected; connected with one subscription; and when each has sent itself a
 * burst of small messages, and of some that fill packets. One line for each: what, heap bytes,
 * resident bytes, descriptors.
 *
 * Design note. All are measured at once and divided, since the heap grows by pages and arenas; what
 * the process had before (tables of the C library, the first use of functions) is taken off by
 * measuring behind a first handle that is not counted. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/baton.h"

enum { BURST = 64, SMALL = 4, LARGE = 60000 };

struct cost {
        double heap, resident, descriptors;
};

static struct cost measure(void)
{
        struct mallinfo2 info = mallinfo2();
        struct cost c = {.heap = (double)(info.uordblks + info.hblkhd)};
        unsigned long size, resident;
        FILE *file = fopen("/proc/self/statm", "re");
        DIR *dir = opendir("/proc/self/fd");

        if (!file || !dir || fscanf(file, "%lu %lu", &size, &resident) != 2)
                exit(1);
        fclose(file);
        c.resident = (double)resident * (double)sysconf(_SC_PAGESIZE);
        while (readdir(dir))
                c.descriptors++;
        closedir(dir);
        return c;
}

static void print(const char *what, struct cost before, unsigned count)
{
        struct cost now = measure();

        printf("%-24s %8.0f %8.0f %5.2f\n", what, (now.heap - before.heap) / count,
                (now.resident - before.resident) / count,
                (now.descriptors - before.descriptors) / count);
}

static void must(int r, const char *what, const baton *b)
{
        if (r >= 0)
                return;
        fprintf(stderr, "idle: %s: %d %s\n", what, r, b ? baton_error(b) : "");
        exit(1);
}

static void on_message(baton *b, const struct baton_message *m, void *arg)
{
        (void)b, (void)m;
        ++*(unsigned *)arg;
}

static void join(baton *b, const char *address, unsigned number, unsigned *received)
{
        char topic[32];

        snprintf(topic, sizeof(topic), "idle.%u", number);
        must(baton_connect(b, address, 20000), "connect", b);
        must(baton_subscribe(b, topic, NULL, on_message, received, NULL), "subscribe", b);
}

static void work(baton *b, unsigned number, size_t len, unsigned *received)
{
        static const char payload[LARGE];
        char topic[32];

        snprintf(topic, sizeof(topic), "idle.%u", number);
        *received = 0;
        for (unsigned i = 0; i < BURST; i++)
                must(baton_publish(b, topic, payload, len), "publish", b);
        while (*received < BURST)
                must(baton_wait(b, 20000), "wait", b);
}

int main(int argc, char **argv)
{
        unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0, received;
        baton **b = calloc(count + 1UL, sizeof(baton *));
        struct rlimit files;

        if (count == 0 || !b || getrlimit(RLIMIT_NOFILE, &files) < 0)
                return 2;
        files.rlim_cur = files.rlim_max;
        must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit", NULL);

        must(baton_new(&b[count]), "new", NULL);
        join(b[count], argv[1], count, &received);
        work(b[count], count, LARGE, &received);
        struct cost before = (measure(), measure());
        for (unsigned i = 0; i < count; i++)
                must(baton_new(&b[i]), "new", NULL);
        print("not connected", before, count);
        for (unsigned i = 0; i < count; i++)
                join(b[i], argv[1], i, &received);
        print("connected, subscribed", before, count);
        for (unsigned i = 0; i < count; i++)
                work(b[i], i, SMALL, &received);
        print("after a burst", before, count);
        for (unsigned i = 0; i < count; i++)
                work(b[i], i, LARGE, &received);
        print("after full packets", before, count);
        for (unsigned i = 0; i <= count; i++)
                baton_free(b[i]);
        free(b);
        return 0;
}
