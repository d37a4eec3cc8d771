/* Design note. What is written must be read back the same by somebody else's parser, here jansson;
 * and the escapes that JSON does not demand are compared with the text itself. */
#include "client/cli/json.h"
#include "tests/harness/test.h"

#include <float.h>
#include <jansson.h>
#include <string.h>

static const char *written(struct buf *out)
{
        CHECK_EQ(buf_push(out, "", 1), 0);
        return (const char *)out->data;
}

static void check_string(const void *bytes, size_t n, const char *expected)
{
        struct buf out = BUF_INIT;

        CHECK(json_is_text(bytes, n));
        CHECK_EQ(json_put_string(&out, bytes, n), 0);
        CHECK_STR(written(&out), expected);
        buf_deinit(&out);
}

static void check_round_trip(const char *bytes, size_t n)
{
        struct buf out = BUF_INIT;

        CHECK_EQ(json_put_string(&out, bytes, n), 0);
        json_t *read =
                json_loadb((const char *)out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        CHECK(json_is_string(read));
        CHECK_EQ(json_string_length(read), n);
        CHECK_BYTES(json_string_value(read), bytes, n);
        json_decref(read);
        buf_deinit(&out);
}

TEST(plain_text_stands_as_it_is)
{
        check_string("", 0, "\"\"");
        check_string(NULL, 0, "\"\"");
        check_string("hello, world / 100 %", 20, "\"hello, world / 100 %\"");
        check_string("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 14,
                "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST(quotes_backslashes_and_control_characters_are_escaped)
{
        check_string("\"\\", 2, "\"\\\"\\\\\"");
        check_string("\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\"");
        check_string("\0\x01\x1b\x1f\x7f", 5, "\"\\u0000\\u0001\\u001b\\u001f\\u007f\"");
        check_string("\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", 8, "\"\\u0080\\u0085\\u009f\xc2\xa0\"");
}

TEST(line_and_paragraph_separators_are_escaped_and_their_neighbours_are_not)
{
        check_string("a\xe2\x80\xa8z\xe2\x80\xa9", 8, "\"a\\u2028z\\u2029\"");
        check_string("\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8", 9,
                "\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\"");
}

/* Encodes a code point, surrogates as well. Returns its length. */
static size_t utf8(char out[4], unsigned c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1; c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)((0xf00u >> n) | c);
        return n;
}

TEST(every_character_of_unicode_is_read_back_the_same)
{
        char text[4 * 256];

        for (unsigned first = 0; first < 0x110000; first += 256) {
                size_t n = 0;
                if (first >= 0xd800 && first < 0xe000)
                        continue;
                for (unsigned c = first; c < first + 256; c++)
                        n += utf8(text + n, c);
                CHECK(json_is_text(text, n));
                check_round_trip(text, n);
        }
}

TEST(what_is_no_utf_8_is_no_text)
{
        static const char *const bad[] = {
                "\x80",             /* a continuation alone */
                "a\xc3",            /* cut short */
                "\xe2\x82",         /* cut short */
                "\xc0\x80",         /* overlong */
                "\xc1\xbf",         /* overlong */
                "\xe0\x9f\xbf",     /* overlong */
                "\xf0\x8f\xbf\xbf", /* overlong */
                "\xf4\x90\x80\x80", /* above U+10FFFF */
                "\xf5\x80\x80\x80", /* above U+10FFFF */
                "\xff",
                "\xc3(",
                "0123456789\xe2\x28\xa1",
        };
        char text[4];

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                CHECK(!json_is_text(bad[i], strlen(bad[i])));
        for (unsigned c = 0xd800; c < 0xe000; c++)
                CHECK(!json_is_text(text, utf8(text, c)));
        CHECK(json_is_text("\xed\x9f\xbf\xee\x80\x80", 6)); /* both sides of the surrogates */
}

TEST(a_character_across_the_end_of_a_word_is_seen_whole)
{
        char text[32];

        for (size_t at = 0; at < 20; at++) {
                memset(text, 'x', sizeof(text));
                memcpy(text + at, "\xf0\x9f\x98\x80", 4);
                CHECK(json_is_text(text, sizeof(text)));
                text[at + 3] = 'x';
                CHECK(!json_is_text(text, sizeof(text)));
        }
}

TEST(base64_is_that_of_rfc_4648)
{
        static const char *const pairs[][2] = {
                {"", "\"\""},
                {"f", "\"Zg==\""},
                {"fo", "\"Zm8=\""},
                {"foo", "\"Zm9v\""},
                {"foob", "\"Zm9vYg==\""},
                {"fooba", "\"Zm9vYmE=\""},
                {"foobar", "\"Zm9vYmFy\""},
                {"\xfb\xff\xbf", "\"+/+/\""},
        };

        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
                struct buf out = BUF_INIT;
                CHECK_EQ(json_put_base64(&out, pairs[i][0], strlen(pairs[i][0])), 0);
                CHECK_STR(written(&out), pairs[i][1]);
                buf_deinit(&out);
        }
}

/* The same as in one piece, however large the pieces are. */
static void check_pieces(bool is_text, const char *bytes, size_t n)
{
        int (*put)(struct buf *, const void *, size_t) =
                is_text ? json_put_text : json_put_base64_digits;
        struct buf whole = BUF_INIT;

        CHECK_EQ(put(&whole, bytes, n), 0);
        for (size_t most = 4; most <= n + 1; most++) {
                struct buf out = BUF_INIT;
                for (size_t at = 0; at < n;) {
                        size_t len = json_piece(is_text, bytes + at, n - at, most);
                        CHECK(len > 0 && len <= most);
                        CHECK(!is_text || json_is_text(bytes + at, len));
                        CHECK_EQ(put(&out, bytes + at, len), 0);
                        at += len;
                }
                CHECK_EQ(out.len, whole.len);
                CHECK_BYTES(out.data, whole.data, whole.len);
                buf_deinit(&out);
        }
        buf_deinit(&whole);
}

TEST(what_is_put_in_pieces_is_the_same_as_in_one)
{
        static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\n\xf0\x9f\x98\x81z";

        check_pieces(true, text, sizeof(text) - 1);
        check_pieces(false, text, sizeof(text) - 1);
        CHECK_EQ(json_piece(true, NULL, 0, 4), 0);
}

TEST(numbers_are_as_short_as_reads_back_the_same)
{
        static const struct {
                double value;
                const char *text;
        } rows[] = {
                {0.0, "0.0"},
                {-1.5, "-1.5"},
                {0.1, "0.1"},
                {3.0, "3.0"},
                {1e300, "1e+300"},
                {1.0 / 3, "0.3333333333333333"},
                {DBL_MAX, "1.7976931348623157e+308"},
                {DBL_TRUE_MIN, "4.94065645841247e-324"},
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct buf out = BUF_INIT;
                CHECK_EQ(json_put_double(&out, rows[i].value), 0);
                CHECK_STR(written(&out), rows[i].text);
                CHECK(strtod(rows[i].text, NULL) == rows[i].value);
                buf_deinit(&out);
        }
}
