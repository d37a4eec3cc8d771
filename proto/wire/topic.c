/* Design note. One walk over the characters judges UTF-8, the forbidden characters and the tokens
 * together. The wildcards are recognised as whole tokens only: `a*` is no filter.
 *
 * filter_contains goes token by token. That is exact but for one thing: at the limits of a topic
 * (16 tokens, 255 bytes) `>` may have room for one token only and would then be contained in `*`.
 * The answer there is no, which errs on the safe side of a policy. */
#include "proto/wire/topic.h"

#include "proto/wire/limits.h"

#include <string.h>

/* Decodes one character of `n` > 0 bytes. Returns its length, 0 if they are no UTF-8 (RFC 3629,
 * section 4). */
static size_t utf8_next(const uint8_t *p, size_t n, uint32_t *ret_char)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        uint8_t lead = *p;

        if (lead < 0x80) {
                *ret_char = lead;
                return 1;
        }
        size_t len = lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
        if (!len || n < len)
                return 0;
        uint32_t c = lead & (0x7fu >> len);
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret_char = c;
        return len;
}

static bool is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

bool utf8_is_valid(const void *text, size_t len)
{
        const uint8_t *p = text;
        uint32_t c;

        for (size_t n, at = 0; at < len; at += n) {
                n = utf8_next(p + at, len - at, &c);
                if (!n)
                        return false;
        }
        return true;
}

bool text_is_plain(const void *text, size_t len)
{
        const uint8_t *p = text;
        uint32_t c;

        for (size_t n, at = 0; at < len; at += n) {
                n = utf8_next(p + at, len - at, &c);
                if (!n || is_control(c))
                        return false;
        }
        return true;
}

static bool token_is(const struct token *t, char c)
{
        return t->len == 1 && *t->data == c;
}

static bool token_equals(const struct token *a, const struct token *b)
{
        return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static bool is_wildcard(const struct token *t)
{
        return token_is(t, '*') || token_is(t, '>');
}

/* A token of a topic: a dot cannot be in it. */
static bool token_is_valid(const struct token *t)
{
        uint32_t c;

        for (size_t n, at = 0; at < t->len; at += n) {
                n = utf8_next(t->data + at, t->len - at, &c);
                if (!n || is_control(c) || c == ' ' || c == '*' || c == '>')
                        return false;
        }
        return t->len > 0;
}

static bool is_valid(const void *topic, size_t len, bool wildcards)
{
        size_t n_tokens = 0;

        if (len == 0 || len > WIRE_TOPIC_BYTES)
                return false;
        for (struct token t = token_first(topic, len); t.data; t = token_next(&t)) {
                bool is_last = t.data + t.len == t.end;
                bool is_wild = wildcards && (token_is(&t, '*') || (is_last && token_is(&t, '>')));
                if (++n_tokens > WIRE_TOPIC_TOKENS || (!is_wild && !token_is_valid(&t)))
                        return false;
        }
        return true;
}

bool topic_is_valid(const void *topic, size_t len)
{
        return is_valid(topic, len, false);
}

bool filter_is_valid(const void *filter, size_t len)
{
        return is_valid(filter, len, true);
}

static const char *token_fault(const struct token *t, bool wildcards)
{
        if (!t->len)
                return "an empty token";
        if (memchr(t->data, '*', t->len) || memchr(t->data, '>', t->len))
                return wildcards ? "* stands for a whole token, > for all at the end"
                                 : "* and > are for filters";
        if (memchr(t->data, ' ', t->len))
                return "a space";
        return utf8_is_valid(t->data, t->len) ? "a control character" : "not UTF-8";
}

static const char *fault(const void *topic, size_t len, bool wildcards)
{
        size_t n_tokens = 0;

        if (is_valid(topic, len, wildcards))
                return NULL;
        if (!len)
                return "it is empty";
        if (len > WIRE_TOPIC_BYTES)
                return "longer than 255 bytes";
        for (struct token t = token_first(topic, len); t.data; t = token_next(&t)) {
                bool is_last = t.data + t.len == t.end;
                bool is_wild = wildcards && (token_is(&t, '*') || (is_last && token_is(&t, '>')));
                if (++n_tokens > WIRE_TOPIC_TOKENS)
                        return "more than 16 tokens";
                if (!is_wild && !token_is_valid(&t))
                        return token_fault(&t, wildcards);
        }
        return NULL;
}

const char *topic_fault(const void *topic, size_t len)
{
        return fault(topic, len, false);
}

const char *filter_fault(const void *filter, size_t len)
{
        return fault(filter, len, true);
}

bool filter_is_literal(const void *filter, size_t len)
{
        return is_valid(filter, len, false);
}

bool topic_is_reserved(const void *topic, size_t len)
{
        return len && *(const char *)topic == '$';
}

bool topic_hides_from_wildcards(const void *topic, size_t len)
{
        return len && (*(const char *)topic == '$' || *(const char *)topic == '_');
}

static struct token token_at(const uint8_t *p, const uint8_t *end)
{
        const uint8_t *dot = p < end ? memchr(p, '.', (size_t)(end - p)) : NULL;

        return (struct token){p, (size_t)((dot ? dot : end) - p), end};
}

struct token token_first(const void *topic, size_t len)
{
        const uint8_t *p = topic;

        return len ? token_at(p, p + len) : (struct token){NULL, 0, p};
}

struct token token_next(const struct token *t)
{
        const uint8_t *behind = t->data + t->len;

        return behind < t->end ? token_at(behind + 1, t->end) : (struct token){NULL, 0, t->end};
}

bool filter_matches(const void *filter, size_t filter_len, const void *topic, size_t topic_len)
{
        struct token f = token_first(filter, filter_len), t = token_first(topic, topic_len);

        if (is_wildcard(&f) && topic_hides_from_wildcards(topic, topic_len))
                return false;
        while (f.data && t.data) {
                if (token_is(&f, '>'))
                        return true;
                if (!token_is(&f, '*') && !token_equals(&f, &t))
                        return false;
                f = token_next(&f);
                t = token_next(&t);
        }
        return !f.data && !t.data;
}

bool filter_contains(const void *outer, size_t outer_len, const void *inner, size_t inner_len)
{
        struct token o = token_first(outer, outer_len), i = token_first(inner, inner_len);

        if (is_wildcard(&o) && topic_hides_from_wildcards(inner, inner_len))
                return false;
        while (o.data && i.data) {
                if (token_is(&o, '>'))
                        return true;
                /* A literal contains itself alone, `*` whatever stands for one token. */
                if (token_is(&o, '*') ? token_is(&i, '>') : !token_equals(&o, &i))
                        return false;
                o = token_next(&o);
                i = token_next(&i);
        }
        return !o.data && !i.data;
}
