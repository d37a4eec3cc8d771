/* Design note. PROTOCOL.md is what strangers write clients from, so its examples and numbers are
 * held against the code. An example is a pair of back-quotes around two or more bytes in hex. The
 * counts at the end are there because a test that finds nothing to test passes too. */
#include "proto/wire/message.h"
#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES_LEAST = 24, PAGE_BYTES = 1 << 17 };

static char *page_new(void)
{
        FILE *f = fopen("proto/wire/PROTOCOL.md", "re");
        char *page = calloc(1, PAGE_BYTES);

        CHECK_PTR(f);
        CHECK_PTR(page);
        CHECK(fread(page, 1, PAGE_BYTES - 1, f) > 10000);
        CHECK(feof(f));
        fclose(f);
        return page;
}

static void freep(char **p)
{
        free(*p);
}

/* Two or more lower-case hex bytes, single blanks between them. */
static bool is_hex(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                bool is_digit = isdigit((unsigned char)s[i]) || (s[i] >= 'a' && s[i] <= 'f');
                if (i % 3 == 2 ? s[i] != ' ' : !is_digit)
                        return false;
        }
        return n >= 5 && n % 3 == 2;
}

/* Decodes all frames of a packet; `seen` counts them by type. */
static void check_packet(const char *hex, unsigned *seen)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        const uint8_t *at = b.data, *end = b.data + b.len;
        struct frame frame;
        struct message m;

        if (b.len > 5 && *at == 0xce) {
                CHECK_EQ(mp_get32(at + 1), b.len - 5); /* a stream's length */
                at += 5;
        }
        while (at < end) {
                if (scan_frame(&at, end, &frame) || message_decode(&frame, &m))
                        fail_msg("no packet: %s", hex);
                seen[frame.type]++;
        }
}

TEST(every_example_decodes)
{
        cleanup_(freep) char *page = page_new();
        unsigned seen[WIRE_TYPE_END] = {0};
        size_t n_examples = 0;
        char *save = NULL;

        /* What stands between back-quotes is every second piece; none spans lines. */
        for (char *line = strtok_r(page, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                bool is_quoted = false;
                for (char *piece; (piece = strsep(&line, "`")); is_quoted = !is_quoted) {
                        if (!is_quoted || !is_hex(piece, strlen(piece)))
                                continue;
                        check_packet(piece, seen);
                        n_examples++;
                }
        }
        print_message("%zu examples\n", n_examples);
        CHECK(n_examples >= EXAMPLES_LEAST);
        static const unsigned wanted[] = {WIRE_HELLO, WIRE_WELCOME, WIRE_BYE, WIRE_PING, WIRE_OK,
                WIRE_ERR, WIRE_SUB, WIRE_CREDIT, WIRE_ACK, WIRE_NACK, WIRE_GAP, WIRE_PUB,
                WIRE_BEGIN, WIRE_CHUNK, WIRE_END, WIRE_INGRESS, WIRE_REQUEST, WIRE_REPLY,
                WIRE_DELIVERY};
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
                if (!seen[wanted[i]])
                        fail_msg("no example of type 0x%02x", wanted[i]);
        }
}

TEST(the_codes_are_those_of_the_page)
{
        cleanup_(freep) char *page = page_new();
        char *part = strstr(page, "## 9.");
        char row[64];

        CHECK_PTR(part);
        for (unsigned code = 0; code < WIRE_CODE_N_; code++) {
                snprintf(row, sizeof(row), "\n| %u | %s |", code, wire_code_name(code));
                if (!strstr(part, row))
                        fail_msg("not in the table: %s", row + 1);
        }
        snprintf(row, sizeof(row), "\n| %u |", (unsigned)WIRE_CODE_N_);
        CHECK_NULL(strstr(part, row));
}

struct type_name {
        unsigned type;
        const char *name;
};

TEST(the_types_are_those_of_the_page)
{
        static const struct type_name names[] = {{WIRE_HELLO, "HELLO"}, {WIRE_WELCOME, "WELCOME"},
                {WIRE_BYE, "BYE"}, {WIRE_RIGHTS, "RIGHTS"}, {WIRE_PING, "PING"},
                {WIRE_PONG, "PONG"}, {WIRE_OK, "OK"}, {WIRE_ERR, "ERR"}, {WIRE_SUB, "SUB"},
                {WIRE_UNSUB, "UNSUB"}, {WIRE_CREDIT, "CREDIT"}, {WIRE_ACK, "ACK"},
                {WIRE_NACK, "NACK"}, {WIRE_GAP, "GAP"}, {WIRE_CANCEL, "CANCEL"}, {WIRE_PUB, "PUB"},
                {WIRE_BEGIN, "BEGIN"}, {WIRE_CHUNK, "CHUNK"}, {WIRE_END, "END"},
                {WIRE_INGRESS, "INGRESS"}, {WIRE_REQUEST, "REQUEST"}, {WIRE_REPLY, "REPLY"},
                {WIRE_DELIVERY, "DELIVERY"}};
        cleanup_(freep) char *page = page_new();
        char row[64];
        size_t n_rows = 0;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                snprintf(row, sizeof(row), "\n| 0x%02x | %s |", names[i].type, names[i].name);
                if (!strstr(page, row))
                        fail_msg("not in the tables: %s", row + 1);
        }
        for (const char *at = page; (at = strstr(at, "\n| 0x")); at++)
                n_rows++;
        CHECK_EQ(n_rows, ARRAY_LEN(names));
}
