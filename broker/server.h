/* server.h - the shell around the core: the loop, the listeners, the connections. */
#ifndef BATON_BROKER_SERVER_H
#define BATON_BROKER_SERVER_H

#include "broker/options.h"

/* server_run serves until SIGTERM or SIGINT. Returns the exit status. */
int server_run(const struct options *options);

#endif
