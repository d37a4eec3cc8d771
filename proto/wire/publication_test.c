/* Design note. PUB, BEGIN and DELIVERY, which are decoded and encoded by hand, and decoded in two
 * ways: by shape where they have the usual one, else value by value. */
#include "proto/wire/message.h"

#include "proto/wire/test_bytes.h"
#include "tests/harness/test.h"

#include <string.h>

TEST(a_publication_is_decoded)
{
        cleanup_(bytes_deinit) struct bytes b =
                bytes_from_hex("95 10 02 a3 61 2e 62 81 a1 6e 01 c4 02 78 79");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.pub.n_fds, 2);
        check_slice(m.pub.topic, "a.b");
        CHECK_EQ(m.pub.n_headers, 1);
        check_slice(m.pub.headers, "\x81\xa1n\x01");
        check_slice(m.pub.payload, "xy");
        CHECK_EQ(m.pub.size, 0);
        check_encoded(&m, "95 10 02 a3 61 2e 62 81 a1 6e 01 c4 02 78 79");
}

TEST(an_empty_payload_is_inline)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex("95 10 00 a1 61 80 c4 00");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_PTR(m.pub.payload.data);
        CHECK_EQ(m.pub.payload.len, 0);
        /* Bytes that are there go before a size. */
        m.pub.size = 5;
        check_encoded(&m, "95 10 00 a1 61 80 c4 00");
        m.pub = (struct msg_pub){.topic = m.pub.topic};
        check_encoded(&m, "95 10 00 a1 61 80 c4 00");
}

TEST(a_placed_payload_is_a_size_and_has_a_descriptor)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex("95 10 11 a1 61 80 ce 00 7e 90 00");
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        CHECK_EQ(m.pub.n_fds, 17);
        CHECK_EQ(m.pub.size, 8294400);
        CHECK_NULL(m.pub.payload.data);
        check_encoded(&m, "95 10 11 a1 61 80 ce 00 7e 90 00");
        CHECK_EQ(hex_decode("95 10 00 a1 61 80 ce 00 7e 90 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 10 01 a1 61 80 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 10 12 a1 61 80 01"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 10 11 a1 61 80 c4 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("95 10 10 a1 61 80 c4 00"), 0);
        CHECK_EQ(hex_decode("95 11 10 a1 61 80 00"), 0);
        CHECK_EQ(hex_decode("95 11 11 a1 61 80 00"), MESSAGE_E_MALFORMED);
}

TEST(a_delivery_is_decoded)
{
        static const char hex[] =
                "9d 17 cd 01 00 07 cd 12 67 cd 03 e8 cc e8 93 01 02 ce ff ff ff ff 1f 01 02 cf 00 "
                "00 00 01 00 00 00 05 03 04";
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(hex);
        struct message m;

        CHECK_EQ(bytes_decode(&b, &m), 0);
        const struct msg_delivery *d = &m.delivery;
        CHECK(d->seq == 256 && d->session == 7 && d->pid == 4711 && d->uid == 1000 &&
                d->gid == 232);
        CHECK(d->n_subs == 3 && d->subs[0] == 1 && d->subs[1] == 2 && d->subs[2] == UINT32_MAX);
        CHECK(d->flags == 31 && d->redelivered == 1 && d->withheld == 2 &&
                d->token == 0x100000005 && d->age_ms == 3 && d->request == 4);
        check_encoded(&m, hex);
}

TEST(a_short_delivery_has_zeros_for_the_rest)
{
        cleanup_(bytes_deinit) struct bytes b = bytes_from_hex("97 17 01 07 02 03 04 90");
        struct message m;

        memset(&m, 0xff, sizeof(m));
        CHECK_EQ(bytes_decode(&b, &m), 0);
        const struct msg_delivery *d = &m.delivery;
        CHECK_EQ(d->n_subs, 0);
        CHECK(!d->flags && !d->redelivered && !d->withheld && !d->token && !d->age_ms &&
                !d->request);
        check_encoded(&m, "97 17 01 07 02 03 04 90");
}

TEST(a_delivery_has_at_most_64_subscriptions)
{
        char hex[512] = "97 17 01 07 02 03 04 dc 00 40 ";

        for (int i = 0; i < WIRE_DELIVERY_SUBS; i++)
                strcat(hex, "01 ");
        CHECK_EQ(hex_decode(hex), 0);
        memcpy(strstr(hex, "40"), "41", 2);
        strcat(hex, "01");
        CHECK_EQ(hex_decode(hex), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("97 17 01 07 02 03 04 91 00"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("97 17 01 07 02 03 04 91 c0"), MESSAGE_E_MALFORMED);
        CHECK_EQ(hex_decode("97 17 01 07 02 03 04 91 cf 00 00 00 01 00 00 00 00"),
                MESSAGE_E_MALFORMED);
}

TEST(the_largest_delivery_fits_its_room)
{
        uint8_t room[MESSAGE_DELIVERY_BYTES];
        struct msg_delivery d, back;

        memset(&d, 0xff, sizeof(d));
        d.n_subs = WIRE_DELIVERY_SUBS;
        size_t len = message_put_delivery(room, &d);
        CHECK_EQ(len, 424);
        CHECK(len <= WIRE_HEADER_ROOM);
        cleanup_(bytes_deinit) struct bytes b = bytes_copy(room, len);
        struct frame frame = bytes_scan(&b);
        CHECK_EQ(message_decode_delivery(&frame, &back), 0);
        CHECK(back.request == UINT64_MAX && back.subs[63] == UINT32_MAX);
}

/* The same publication with one field at a time in an encoding that the quick way does not know. */
TEST(a_publication_means_the_same_in_every_encoding)
{
        static const char *const forms[] = {"95 10 01 a3 61 2e 62 80 c4 02 78 79",
                "95 10 cc 01 a3 61 2e 62 80 c4 02 78 79", "95 cc 10 01 a3 61 2e 62 80 c4 02 78 79",
                "dc 00 05 10 01 a3 61 2e 62 80 c4 02 78 79",
                "95 10 01 d9 03 61 2e 62 80 c4 02 78 79",
                "95 10 01 da 00 03 61 2e 62 80 c4 02 78 79",
                "95 10 01 db 00 00 00 03 61 2e 62 80 c4 02 78 79",
                "95 10 01 a3 61 2e 62 de 00 00 c4 02 78 79",
                "95 10 01 a3 61 2e 62 df 00 00 00 00 c4 02 78 79",
                "95 10 01 a3 61 2e 62 80 c5 00 02 78 79",
                "95 10 01 a3 61 2e 62 80 c6 00 00 00 02 78 79",
                "96 10 01 a3 61 2e 62 80 c4 02 78 79 c0"};

        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                cleanup_(bytes_deinit) struct bytes b = bytes_from_hex(forms[i]);
                struct frame frame = bytes_scan(&b);
                struct msg_pub pub;
                CHECK_EQ(message_decode_pub(&frame, &pub), 0);
                CHECK_EQ(pub.n_fds, 1);
                check_slice(pub.topic, "a.b");
                CHECK_EQ(pub.n_headers, 0);
                check_slice(pub.payload, "xy");
                CHECK_EQ(pub.size, 0);
        }
}
