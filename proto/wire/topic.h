/* topic.h - the grammar of topics and filters (PROTOCOL.md part 2). Pure functions on bytes. */
#ifndef BATON_WIRE_TOPIC_H
#define BATON_WIRE_TOPIC_H

#include "proto/base/defs.h"
#include <stdbool.h>
#include <stdint.h>

/* topic_is_valid: 1-255 bytes, 1-16 non-empty tokens, UTF-8 without controls, spaces, wildcards. */
bool topic_is_valid(const void *topic, size_t len);

/* filter_is_valid: as topic_is_valid, but a whole token may be `*`, and the last one `>`. */
bool filter_is_valid(const void *filter, size_t len);

/* topic_fault names the rule that a topic, or a filter, breaks: "an empty token"; NULL if none. */
const char *topic_fault(const void *topic, size_t len);
const char *filter_fault(const void *filter, size_t len);

/* filter_is_literal: a valid filter without wildcards, i.e. also a topic. */
bool filter_is_literal(const void *filter, size_t len);

/* topic_is_reserved: its first token begins with `$`: it belongs to the broker. */
bool topic_is_reserved(const void *topic, size_t len);

/* topic_hides_from_wildcards: its first token begins with `$` or `_`. */
bool topic_hides_from_wildcards(const void *topic, size_t len);

/* filter_matches: the naive reference for the broker's index; both must be valid. */
bool filter_matches(const void *filter, size_t filter_len, const void *topic, size_t topic_len);

/* filter_contains: every topic that `inner` matches is matched by `outer`; both must be valid. */
bool filter_contains(const void *outer, size_t outer_len, const void *inner, size_t inner_len);

/* utf8_is_valid: shortest forms, no surrogates, up to U+10FFFF; NUL and controls are fine. */
bool utf8_is_valid(const void *text, size_t len);

/* text_is_plain: utf8_is_valid and without control characters (C0, DEL, C1): fit for a line of a
 * log or a terminal. */
bool text_is_plain(const void *text, size_t len);

/* A walk over tokens: for (struct token t = token_first(s, n); t.data; t = token_next(&t)). */
struct token {
        const uint8_t *data; /* NULL behind the last */
        size_t len;
        const uint8_t *end; /* of the whole topic */
};

struct token token_first(const void *topic, size_t len);
struct token token_next(const struct token *t);

#endif
