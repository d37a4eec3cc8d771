/* Design note. fstat tells all but two: a memfd is a regular file and an eventfd an anonymous
 * inode. Where the system does not say, they are "file" and "other". */
#include "client/cli/fdkind.h"

#include "proto/base/sys.h"

#include <sys/stat.h>

enum fdkind fdkind_of(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return FDKIND_OTHER;
        if (S_ISREG(st.st_mode))
                return sys_is_memfd(fd) ? FDKIND_MEMFD : FDKIND_FILE;
        if (S_ISDIR(st.st_mode))
                return FDKIND_DIR;
        if (S_ISFIFO(st.st_mode))
                return FDKIND_PIPE;
        if (S_ISSOCK(st.st_mode))
                return FDKIND_SOCKET;
        return sys_is_eventfd(fd) ? FDKIND_EVENTFD : FDKIND_OTHER;
}

const char *fdkind_name(enum fdkind kind)
{
        static const char *const names[] = {
                "file", "dir", "pipe", "socket", "memfd", "eventfd", "other"};

        return names[kind];
}
