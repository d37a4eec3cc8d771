/* Design note. libFuzzer needs clang and time; what it has found needs neither. This main runs the
 * files named on the command line, and those in the directories named there, through the fuzzer's
 * entry: a corpus that any compiler replays in every test run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MOST = 1 << 20 };

static unsigned n_run;

static void run_file(const char *path)
{
        uint8_t *room = malloc(INPUT_BYTES_MOST);
        FILE *f = fopen(path, "re");

        if (!f || !room) {
                perror(path);
                exit(1);
        }
        size_t n = fread(room, 1, INPUT_BYTES_MOST, f);
        fclose(f);
        /* To size, so that a read beyond the end is one. */
        uint8_t *exact = malloc(n ? n : 1);
        if (!exact)
                abort();
        memcpy(exact, room, n);
        free(room);
        (void)LLVMFuzzerTestOneInput(exact, n);
        free(exact);
        n_run++;
}

static void run(const char *path)
{
        DIR *dir = opendir(path);
        char name[4096];

        if (!dir) {
                run_file(path);
                return;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
                run_file(name);
        }
        closedir(dir);
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                run(argv[i]);
        printf("%u inputs\n", n_run);
        /* A corpus that was not found must not look like one that passed. */
        return n_run >= 5 ? 0 : 1;
}
