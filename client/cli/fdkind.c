/* Design note. fstat tells all but two: a memfd is a regular file and an eventfd an anonymous
 * inode, and only the link in /proc has their names. Without /proc they are "file" and "other". */
#include "client/cli/fdkind.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_linked_to(int fd, const char *lead)
{
        char path[40], target[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof(target));
        return n >= (ssize_t)strlen(lead) && !memcmp(target, lead, strlen(lead));
}

enum fdkind fdkind_of(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return FDKIND_OTHER;
        if (S_ISREG(st.st_mode))
                return is_linked_to(fd, "/memfd:") ? FDKIND_MEMFD : FDKIND_FILE;
        if (S_ISDIR(st.st_mode))
                return FDKIND_DIR;
        if (S_ISFIFO(st.st_mode))
                return FDKIND_PIPE;
        if (S_ISSOCK(st.st_mode))
                return FDKIND_SOCKET;
        return is_linked_to(fd, "anon_inode:[eventfd]") ? FDKIND_EVENTFD : FDKIND_OTHER;
}

const char *fdkind_name(enum fdkind kind)
{
        static const char *const names[] = {
                "file", "dir", "pipe", "socket", "memfd", "eventfd", "other"};

        return names[kind];
}
