/* Design note. One program, two roles; the driver (soak_test.py) starts, stops and kills many. Each
 * prints one line of JSON when it ends in order. */
#include "tests/soak/soak.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t is_stopped;

static void on_term(int number)
{
        (void)number;
        is_stopped = 1;
}

int soak_stopped(void)
{
        return is_stopped;
}

void soak_fail(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        exit(1);
}

/* FNV-1a, eight bytes at a time: fast enough not to be what is measured. */
uint64_t soak_sum(uint64_t sum, const void *data, size_t len)
{
        const uint8_t *at = data;

        for (; len >= 8; at += 8, len -= 8) {
                uint64_t word;
                memcpy(&word, at, 8);
                sum = (sum ^ word) * 0x100000001b3u;
                sum ^= sum >> 29;
        }
        while (len--)
                sum = (sum ^ *at++) * 0x100000001b3u;
        return sum;
}

static long count_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        long n = 0;

        if (!dir)
                soak_fail("/proc/self/fd");
        while (readdir(dir))
                n++;
        closedir(dir);
        return n - 3; /* ".", ".." and itself */
}

/* Payloads that are mapped: malloc and sanitizers have mappings of their own. */
static long count_maps(void)
{
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        long n = 0;

        if (!maps)
                soak_fail("/proc/self/maps");
        while (fgets(line, sizeof(line), maps))
                n += strstr(line, "/memfd:") != NULL;
        fclose(maps);
        return n;
}

static long count_kib(void)
{
        FILE *statm = fopen("/proc/self/statm", "re");
        long pages = 0;

        if (!statm || fscanf(statm, "%*d %ld", &pages) != 1)
                soak_fail("/proc/self/statm");
        fclose(statm);
        return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

struct soak_self soak_self(void)
{
        return (struct soak_self){.fds = count_fds(), .maps = count_maps(), .kib = count_kib()};
}

static void log_line(const char *text, void *arg)
{
        fprintf(stderr, "%s: %s\n", (const char *)arg, text);
}

int main(int argc, char **argv)
{
        struct sigaction action = {.sa_handler = on_term};
        baton *b;

        if (argc < 4)
                soak_fail("usage: soak_client pub|sub ADDRESS NAME [SEED [LARGE]]");
        sigaction(SIGTERM, &action, NULL);
        if (baton_new(&b) < 0 || baton_set_name(b, argv[3]) < 0)
                soak_fail("out of memory");
        baton_set_log(b, log_line, argv[3]);
        if (argc > 5)
                baton_set_large(b, strtoull(argv[5], NULL, 10));
        if (baton_connect(b, *argv[2] ? argv[2] : NULL, 10000) < 0)
                soak_fail("%s: %s", argv[3], baton_error(b));
        int status = !strcmp(argv[1], "pub")
                             ? soak_pub(b, argv[3], argc > 4 ? strtoull(argv[4], NULL, 10) : 1)
                             : soak_sub(b, argv[3]);
        baton_free(b);
        return status;
}
