/* Design note. The input is two filters and a topic, a zero byte between them. Whatever they are,
 * judging them is safe; where they are valid, what topic.h promises about them must hold together.
 */
#include "proto/base/defs.h"
#include "proto/wire/limits.h"
#include "proto/wire/topic.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
        const uint8_t *data;
        size_t len;
};

static void must(bool condition)
{
        if (!condition)
                abort();
}

static struct text next_text(const uint8_t **at, const uint8_t *end)
{
        const uint8_t *start = *at, *zero = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;

        *at = zero ? zero + 1 : end;
        return (struct text){start, (size_t)((zero ? zero : end) - start)};
}

static void check_one(struct text t)
{
        bool topic = topic_is_valid(t.data, t.len), filter = filter_is_valid(t.data, t.len);
        size_t n_tokens = 0, n_bytes = 0;

        must(!topic || filter);
        must(topic == filter_is_literal(t.data, t.len));
        if (!filter)
                return;
        must(t.len >= 1 && t.len <= WIRE_TOPIC_BYTES);
        must(utf8_is_valid(t.data, t.len) && text_is_plain(t.data, t.len));
        for (struct token k = token_first(t.data, t.len); k.data; k = token_next(&k)) {
                must(k.len > 0 && k.data >= t.data && k.data + k.len <= t.data + t.len);
                n_bytes += k.len;
                n_tokens++;
        }
        must(n_tokens <= WIRE_TOPIC_TOKENS && n_bytes + n_tokens - 1 == t.len);
        must(filter_contains(t.data, t.len, t.data, t.len));
        must(!topic || filter_matches(t.data, t.len, t.data, t.len));
        must(!topic || filter_matches(">", 1, t.data, t.len) ==
                               !topic_hides_from_wildcards(t.data, t.len));
        must(!topic_is_reserved(t.data, t.len) || topic_hides_from_wildcards(t.data, t.len));
}

static void check_pair(struct text a, struct text b, struct text topic)
{
        bool contains = filter_contains(a.data, a.len, b.data, b.len);

        if (topic_is_valid(b.data, b.len))
                must(contains == filter_matches(a.data, a.len, b.data, b.len));
        if (contains && topic_is_valid(topic.data, topic.len) &&
                filter_matches(b.data, b.len, topic.data, topic.len))
                must(filter_matches(a.data, a.len, topic.data, topic.len));
        if (contains && filter_contains(b.data, b.len, a.data, a.len))
                must(a.len == b.len && !memcmp(a.data, b.data, a.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *at = data, *end = data + size;
        struct text a = next_text(&at, end), b = next_text(&at, end), topic = next_text(&at, end);

        check_one(a);
        check_one(b);
        check_one(topic);
        if (text_is_plain(data, size))
                must(utf8_is_valid(data, size));
        if (filter_is_valid(a.data, a.len) && filter_is_valid(b.data, b.len)) {
                check_pair(a, b, topic);
                check_pair(b, a, topic);
        }
        return 0;
}
