/* Design note. execvp's rules (POSIX, environment variable PATH): a name with a slash is a path;
 * any other is looked for in the directories of $PATH, of which an empty one is the current.
 * Without $PATH each system looks where it likes. */
#include "client/cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns 0 · -EACCES · -ENOENT. */
static int look_at(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        if (S_ISDIR(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
                return -EACCES;
        return 0;
}

int command_find(const char *name)
{
        const char *path = getenv("PATH");
        char candidate[PATH_MAX];
        int r = -ENOENT;

        if (!*name)
                return -ENOENT;
        if (strchr(name, '/'))
                return look_at(name);
        while (path) {
                size_t len = strcspn(path, ":");
                int n = snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)len, path,
                        len ? "/" : "", name);
                int found = n > 0 && (size_t)n < sizeof(candidate) ? look_at(candidate) : -ENOENT;
                if (found == 0)
                        return 0;
                r = found == -EACCES ? found : r;
                path = path[len] ? path + len + 1 : NULL;
        }
        return getenv("PATH") ? r : 0;
}
