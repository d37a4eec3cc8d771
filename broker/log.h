/* log.h - one line on stderr: the broker's only voice besides the bus itself. */
#ifndef BATON_BROKER_LOG_H
#define BATON_BROKER_LOG_H

#include "proto/base/defs.h"

/* log_line writes "broker: " and the text as one line, in one write. */
void log_line(const char *format, ...) BT_PRINTF(1, 2);

/* log_ready writes the line `ready`, which scripts wait for. */
void log_ready(void);

#endif
