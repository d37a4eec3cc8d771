/* fdkind.h - what a received descriptor is. */
#ifndef BATON_CLIENT_CLI_FDKIND_H
#define BATON_CLIENT_CLI_FDKIND_H

/* The order of fdkind_name's names. */
enum fdkind {
        FDKIND_FILE,
        FDKIND_DIR,
        FDKIND_PIPE,
        FDKIND_SOCKET,
        FDKIND_MEMFD,
        FDKIND_EVENTFD,
        FDKIND_OTHER,
};

enum fdkind fdkind_of(int fd);
const char *fdkind_name(enum fdkind kind);

#endif
