/* Design note. Runs of plain ASCII, which most text is, are copied whole; the table says what ends
 * one. Escaping is done over valid UTF-8 only, so that two or three bytes tell a character. */
#include "client/cli/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- UTF-8 */

/* The length of the character that begins at `p`, 0 if it is none; `p` < `end`. */
static size_t char_len(const uint8_t *p, const uint8_t *end)
{
        size_t len = *p < 0x80   ? 1
                     : *p < 0xc2 ? 0
                     : *p < 0xe0 ? 2
                     : *p < 0xf0 ? 3
                     : *p < 0xf5 ? 4
                                 : 0;

        if (!len || (size_t)(end - p) < len)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        }
        bool is_overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
        bool is_surrogate = *p == 0xed && p[1] >= 0xa0;
        bool is_beyond = *p == 0xf4 && p[1] >= 0x90;
        return is_overlong || is_surrogate || is_beyond ? 0 : len;
}

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
        uint64_t word;

        for (; end - p >= 8; p += 8) {
                memcpy(&word, p, 8);
                if (word & UINT64_C(0x8080808080808080))
                        break;
        }
        while (p < end && *p < 0x80)
                p++;
        return p;
}

bool json_is_text(const void *bytes, size_t n)
{
        const uint8_t *p = bytes, *end = p + n;

        while (n && (p = skip_ascii(p, end)) < end) {
                size_t len = char_len(p, end);
                if (!len)
                        return false;
                p += len;
        }
        return true;
}

/* ---------------------------------------------------------------- strings */

/* The character of two or three bytes at `p` if it must be escaped, 0 if not. */
static unsigned special(const uint8_t *p)
{
        if (p[0] == 0xc2 && p[1] < 0xa0)
                return p[1];
        if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
                return 0x2000 | (p[2] & 0x3f);
        return 0;
}

static bool is_plain(uint8_t c)
{
        return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static int put_ascii(struct buf *out, uint8_t c)
{
        static const char short_forms[] = "\bb\tt\nn\ff\rr\"\"\\\\";

        for (size_t i = 0; i + 1 < sizeof(short_forms); i += 2) {
                if ((uint8_t)short_forms[i] == c)
                        return buf_push(out, (char[]){'\\', short_forms[i + 1]}, 2);
        }
        return buf_printf(out, "\\u%04x", c);
}

/* Appends what stands at `p`, up to the next thing of another kind; `*ret_n` are its bytes. */
static int put_piece(struct buf *out, const uint8_t *p, const uint8_t *end, size_t *ret_n)
{
        size_t n = 0;

        while (p + n < end && is_plain(p[n]))
                n++;
        if (n) {
                *ret_n = n;
                return buf_push(out, p, n);
        }
        if (*p < 0x80) {
                *ret_n = 1;
                return put_ascii(out, *p);
        }
        *ret_n = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        unsigned c = special(p);
        return c ? buf_printf(out, "\\u%04x", c) : buf_push(out, p, *ret_n);
}

int json_put_text(struct buf *out, const void *bytes, size_t n)
{
        const uint8_t *p = bytes, *end = p + n;
        int r = 0;

        while (r == 0 && n && p < end) {
                size_t done = 0;
                r = put_piece(out, p, end, &done);
                p += done;
        }
        return r;
}

static int put_quote(struct buf *out)
{
        return buf_push(out, "\"", 1);
}

int json_put_string(struct buf *out, const void *bytes, size_t n)
{
        int r = put_quote(out);

        if (r == 0)
                r = json_put_text(out, bytes, n);
        return r < 0 ? r : put_quote(out);
}

size_t json_piece(bool is_text, const void *bytes, size_t n, size_t most)
{
        const uint8_t *p = bytes;

        if (n <= most)
                return n;
        if (!is_text)
                return most / 3 * 3;
        while (most && (p[most] & 0xc0) == 0x80)
                most--;
        return most;
}

/* ---------------------------------------------------------------- the rest */

int json_put_base64_digits(struct buf *out, const void *bytes, size_t n)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const uint8_t *p = bytes;
        uint8_t *at;

        if (!n)
                return 0;
        int r = buf_reserve(out, (n + 2) / 3 * 4, &at);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i += 3) {
                size_t left = n - i;
                uint32_t bits = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                                (left > 2 ? p[i + 2] : 0);
                *at++ = (uint8_t)digits[bits >> 18];
                *at++ = (uint8_t)digits[bits >> 12 & 63];
                *at++ = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
                *at++ = left > 2 ? (uint8_t)digits[bits & 63] : '=';
        }
        out->len = (size_t)(at - out->data);
        return 0;
}

int json_put_base64(struct buf *out, const void *bytes, size_t n)
{
        int r = put_quote(out);

        if (r == 0)
                r = json_put_base64_digits(out, bytes, n);
        return r < 0 ? r : put_quote(out);
}

int json_put_double(struct buf *out, double value)
{
        char text[40];

        for (int digits = 15; digits <= 17; digits++) {
                snprintf(text, sizeof(text), "%.*g", digits, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        if (!strpbrk(text, ".e"))
                strcat(text, ".0"); /* readers that tell floats from integers shall */
        return buf_push(out, text, strlen(text));
}
