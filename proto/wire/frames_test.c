/* Design note. Every frame of the protocol in one table: an example, and a letter for the kind of
 * each field. From it all frames are tried with every field cut off, of another kind, in another
 * encoding, and with more behind it. A frame added to the protocol is a line added here. */
#include "proto/base/buf.h"
#include "proto/wire/message.h"
#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <stdlib.h>
#include <string.h>

/* Kinds: u integer, s str, b bin, m map, a array, p bin or integer. Capitals may be absent. The
 * values of integers are such that a 1 in their place is in range. */
struct example {
        unsigned type;
        const char *kinds;
        const char *hex;
};

#define INSTANCE "c4 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"

static const struct example examples[] = {
        {WIRE_HELLO, "usuM", "95 01 01 a1 61 01 81 aa 72 65 73 75 6d 65 5f 73 65 71 05"},
        {WIRE_WELCOME, "uubsuuumM",
                "9a 02 01 07 " INSTANCE
                " a1 62 01 0f cd ff ff 81 a3 66 64 73 10 81 a6 6d 69 73 73 65 "
                "64 00"},
        {WIRE_BYE, "us", "93 03 01 a1 78"},
        {WIRE_RIGHTS, "u", "92 04 0f"},
        {WIRE_PING, "u", "92 05 63"},
        {WIRE_PONG, "u", "92 06 63"},
        {WIRE_OK, "uuU", "94 07 02 03 02"},
        {WIRE_ERR, "uusS", "95 08 04 04 a1 78 a3 66 64 73"},
        {WIRE_SUB, "uusM", "95 09 01 01 a1 61 81 a7 6d 61 78 5f 66 64 73 04"},
        {WIRE_UNSUB, "uu", "93 0a 02 03"},
        {WIRE_CREDIT, "uuu", "94 0b 01 02 ce 00 04 00 00"},
        {WIRE_ACK, "uu", "93 0c 01 01"},
        {WIRE_NACK, "uuU", "94 0d 01 01 cd 03 e8"},
        {WIRE_GAP, "uuuu", "95 0e 01 11 01 2a"},
        {WIRE_CANCEL, "u", "92 0f 04"},
        {WIRE_PUB, "usmp", "95 10 01 a3 61 2e 62 81 a1 6e 01 c4 01 79"},
        {WIRE_BEGIN, "usmu", "95 11 01 a3 61 2e 62 81 a1 6e 01 cd ff ff"},
        {WIRE_CHUNK, "b", "92 12 c4 02 01 02"},
        {WIRE_END, "u", "92 13 01"},
        {WIRE_INGRESS, "uUU", "94 14 05 02 64"},
        {WIRE_REQUEST, "uuU", "94 15 04 cd 07 d0 02"},
        {WIRE_REPLY, "uUU", "94 16 cf 00 00 00 01 00 00 00 05 08 09"},
        {WIRE_DELIVERY, "uuuuuaUUUUUU", "9d 17 09 08 cd 12 68 05 06 92 01 02 1f 01 01 07 08 04"},
};

enum { FIELDS_MOST = 16 };

/* An example taken apart. */
struct parts {
        struct bytes whole;
        struct slice field[FIELDS_MOST];
        size_t n;
};

static struct parts take_apart(const struct example *e)
{
        struct parts parts = {.whole = bytes_from_hex(e->hex)};
        struct frame frame = bytes_scan(&parts.whole);
        struct reader r = {frame.body, frame.data + frame.len};

        CHECK_EQ(frame.type, e->type);
        CHECK_EQ(frame.n_fields, strlen(e->kinds));
        for (parts.n = 0; parts.n < frame.n_fields; parts.n++)
                parts.field[parts.n] = read_raw(&r);
        CHECK(r.at == r.end);
        return parts;
}

static void parts_deinit(struct parts *p)
{
        bytes_deinit(&p->whole);
}

/* Puts a frame of the first `n` fields together, scans and decodes it. */
static int decode_parts(const struct example *e, const struct slice *field, size_t n)
{
        cleanup_(buf_deinit) struct buf out = BUF_INIT;
        uint8_t head[] = {0xdc, 0, (uint8_t)(n + 1), (uint8_t)e->type};
        struct message m;

        CHECK_EQ(buf_push(&out, head, sizeof(head)), 0);
        for (size_t i = 0; i < n; i++)
                CHECK_EQ(buf_push(&out, field[i].data, field[i].len), 0);
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(out.data, out.len);
        struct frame frame = bytes_scan(&b);
        int r = message_decode(&frame, &m);
        if (r == 0)
                CHECK_EQ(m.type, e->type);
        return r;
}

/* A known type without any field is malformed, others are unknown. */
TEST(every_type_has_its_example)
{
        size_t n = 0;

        for (unsigned type = 0; type < WIRE_TYPE_END; type++) {
                struct frame frame = {
                        (const uint8_t *)"", 0, (const uint8_t *)"", 0, (uint8_t)type};
                struct message m;
                n += message_decode(&frame, &m) == MESSAGE_E_MALFORMED;
        }
        CHECK_EQ(n, ARRAY_LEN(examples));
        for (size_t i = 1; i < ARRAY_LEN(examples); i++)
                CHECK(examples[i].type > examples[i - 1].type);
}

TEST(every_example_is_encoded_as_it_was)
{
        for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(examples[i].hex);
                cleanup_(buf_deinit) struct buf out = BUF_INIT;
                struct frame frame = bytes_scan(&b);
                struct message m;
                CHECK_EQ(message_decode(&frame, &m), 0);
                CHECK_EQ(message_encode(&out, &m), 0);
                CHECK_EQ(out.len, b.len);
                CHECK_BYTES(out.data, b.data, b.len);
        }
}

static size_t n_required(const struct example *e)
{
        return strcspn(e->kinds, "MSU");
}

TEST(every_frame_may_lack_optional_fields_and_no_others)
{
        for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
                const struct example *e = &examples[i];
                cleanup_(parts_deinit) struct parts parts = take_apart(e);
                for (size_t n = 0; n <= parts.n; n++) {
                        int want = n < n_required(e) ? MESSAGE_E_MALFORMED : 0;
                        if (decode_parts(e, parts.field, n) != want)
                                fail_msg("type %u with %zu fields", e->type, n);
                }
        }
}

TEST(every_frame_may_have_unknown_fields_behind_it)
{
        static const struct slice more[] = {{(const uint8_t *)"\x81\xa1k\x91\xc0", 5},
                {(const uint8_t *)"\xff", 1}, {(const uint8_t *)"\xd4\x05\x00", 3}};

        for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
                cleanup_(parts_deinit) struct parts parts = take_apart(&examples[i]);
                for (size_t k = 0; k < ARRAY_LEN(more); k++)
                        parts.field[parts.n++] = more[k];
                if (decode_parts(&examples[i], parts.field, parts.n) != 0)
                        fail_msg("type %u", examples[i].type);
        }
}

struct substitute {
        const char *kinds; /* the fields that may have it */
        const char *hex;
};

static const struct substitute substitutes[] = {
        {"uUp", "01"},
        {"uUp", "cc 01"},
        {"uUp", "cd 00 01"},
        {"uUp", "ce 00 00 00 01"},
        {"uUp", "cf 00 00 00 00 00 00 00 01"},
        {"uUp", "d0 01"},
        {"uUp", "d1 00 01"},
        {"uUp", "d2 00 00 00 01"},
        {"uUp", "d3 00 00 00 00 00 00 00 01"},
        {"sS", "a1 61"},
        {"sS", "d9 01 61"},
        {"sS", "da 00 01 61"},
        {"sS", "db 00 00 00 01 61"},
        {"sS", "a0"},
        {"bp", "c4 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"},
        {"bp", "c5 00 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"},
        {"bp", "c6 00 00 00 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"},
        {"mM", "80"},
        {"mM", "de 00 00"},
        {"mM", "df 00 00 00 00"},
        {"a", "90"},
        {"a", "91 01"},
        {"a", "dc 00 01 01"},
        {"a", "dd 00 00 00 01 01"},
        {"", "c0"},
        {"", "c2"},
        {"", "c3"},
        {"", "ff"},
        {"", "d0 ff"},
        {"", "d1 ff ff"},
        {"", "d2 ff ff ff ff"},
        {"", "d3 ff ff ff ff ff ff ff ff"},
        {"", "ca 3f 80 00 00"},
        {"", "cb 3f f0 00 00 00 00 00 00"},
        {"", "d4 05 01"},
        {"", "c7 01 05 01"},
};

static void check_substitute(const struct example *e, size_t i, const struct substitute *s)
{
        cleanup_(parts_deinit) struct parts parts = take_apart(e);
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(s->hex);
        int want = strchr(s->kinds, e->kinds[i]) ? 0 : MESSAGE_E_MALFORMED;

        parts.field[i] = (struct slice){b.data, b.len};
        if (decode_parts(e, parts.field, parts.n) != want)
                fail_msg("type %u, field %zu, %s", e->type, i, s->hex);
}

TEST(every_field_takes_its_kind_in_every_encoding_and_no_other)
{
        for (size_t e = 0; e < ARRAY_LEN(examples); e++) {
                for (size_t i = 0; examples[e].kinds[i]; i++) {
                        for (size_t s = 0; s < ARRAY_LEN(substitutes); s++)
                                check_substitute(&examples[e], i, &substitutes[s]);
                }
        }
}
