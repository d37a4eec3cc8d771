/* listening.h - what the tests of names and paths share. Addresses of any transport. */
#ifndef BATON_TESTS_LINK_LISTENING_H
#define BATON_TESTS_LINK_LISTENING_H

#include "tests/link/support.h"

/* Tries to listen, or to connect, and undoes it: the outcome, the phrase in `why`. */
int try_open(const char *text, struct listener_why *why);
int try_connect(const char *text, struct link_why *why);

/* The same must give `outcome` and a phrase that contains `part`, or that is `phrase`. */
void check_refused(const char *text, int outcome, const char *part);
void check_unreachable(const char *text, int outcome, const char *phrase);

/* Somebody can be connected to there. */
void check_reachable(const char *text);

bool is_there(const char *path);
void make_file(const char *path);

/* A child that listens at an address until it is killed. */
struct server {
        const char *text;
        int ready[2];
        pid_t pid;
};

void start_server(struct server *s, const char *text);
void kill_server(struct server *s);

#endif
