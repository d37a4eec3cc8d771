/* status_form.h - the broker's report, in forms for people and for Prometheus. Both functions
 * append to `out` and return 0 · -ENOMEM. */
#ifndef BATON_CLIENT_CLI_STATUS_FORM_H
#define BATON_CLIENT_CLI_STATUS_FORM_H

#include "proto/base/buf.h"
#include <jansson.h>

BT_MUST int status_form_table(struct buf *out, const json_t *report, const char *address);

/* The text exposition format, version 0.0.4. */
BT_MUST int status_form_prometheus(struct buf *out, const json_t *report);

#endif
