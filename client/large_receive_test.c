/* Large payloads as they come in: in either form a message like any other. */
#include "client/fake_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const size_t sizes[] = {1, 255, 256, 65015, 65016, 65023, 65024, 65025, MIB, 70 * MIB};

static void check_note(struct notes *notes, const char *topic, size_t n)
{
        char want[64];

        snprintf(want, sizeof(want), "%s:%zu;", topic, n);
        CHECK_STR(notes->text, want);
        notes->len = 0;
        notes->text[0] = '\0';
}

TEST(placed_payloads_of_all_sizes_arrive)
{
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        size_t fds = test_open_fds();
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                fake_place(&f, sub, "a", sizes[i]);
                CHECK_EQ(baton_process(f.b), 1);
                check_note(&notes, "a", sizes[i]);
                struct msg_credit c = fake_expect(&f, WIRE_CREDIT).credit;
                CHECK_EQ(c.what, WIRE_CREDIT_FDS);
                CHECK_EQ(c.amount, 1);
                CHECK_EQ(test_open_fds(), fds);
                CHECK_EQ(payload_maps(), 0);
        }
        fake_close(&f);
}

static void deliver_chunks(struct fake *f, uint32_t sub, size_t n, uint64_t said, size_t piece)
{
        fake_begin(f, fake_delivery(1, sub), "a", said);
        fake_chunks(f, 0, n, piece);
        fake_end(f, 0);
}

static void receive_chunks(int socket_type, size_t inbox)
{
        struct notes notes = {.len = 0};
        struct fake f;

        fake_open_over(&f, socket_type, fake_welcome_large(FAKE_WINDOW, 0), SIZE_MAX);
        baton_set_inbox(f.b, inbox);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                deliver_chunks(&f, sub, sizes[i], i & 1 ? sizes[i] : 0, 65000 - i);
                CHECK(run(&f) >= 0);
                check_note(&notes, "a", sizes[i]);
        }
        deliver_chunks(&f, sub, 0, 0, 1);
        CHECK(run(&f) >= 0);
        check_note(&notes, "a", 0);
        fake_close(&f);
}

TEST(payloads_in_chunks_of_all_sizes_arrive)
{
        receive_chunks(SOCK_SEQPACKET, 64 * MIB);
}

TEST(payloads_in_chunks_arrive_over_a_stream)
{
        receive_chunks(SOCK_STREAM, 64 * MIB);
}

static void note_seq(baton *b, const struct baton_message *m, void *arg)
{
        (void)b;
        note(arg, "%d:%zu;", (int)m->seq, m->payload_len);
}

TEST(a_publication_in_chunks_may_share_its_packets_with_others)
{
        struct notes notes = {.len = 0};
        struct message begin = fake_pub("a", "");
        struct message chunk = {.type = WIRE_CHUNK, .chunk = {(const uint8_t *)"\0\1", 2}};
        struct message end = {.type = WIRE_END};
        struct fake f;

        begin.type = WIRE_BEGIN;
        fake_open_large(&f, 0, 0);
        uint32_t sub = fake_subscribe(&f, "a", note_seq, &notes);
        fake_say(&f, fake_delivery(1, sub));
        fake_say(&f, fake_pub("a", ""));
        fake_say(&f, begin);
        fake_say(&f, (struct message){.type = WIRE_PING, .number = 5});
        fake_say(&f, chunk);
        fake_say(&f, end);
        fake_say(&f, fake_pub("a", ""));
        fake_say(&f, begin);
        fake_say(&f, chunk);
        fake_send(&f);
        fake_say(&f, fake_delivery(5, sub));
        fake_say(&f, end);
        fake_say(&f, fake_pub("a", ""));
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_STR(notes.text, "1:0;2:2;3:0;4:2;5:0;");
        CHECK_EQ(fake_expect(&f, WIRE_PONG).number, 5);
        fake_close(&f);
}

static void note_everything(baton *b, const struct baton_message *m, void *arg)
{
        struct baton_header h;

        (void)b;
        CHECK_EQ(m->n_headers, 1);
        CHECK_EQ(baton_header_find(m, "k", &h), 0);
        CHECK(h.value.boolean);
        CHECK(m->retained);
        payload_check(m->payload, 0, m->payload_len);
        for (uint32_t i = 0; i < m->n_fds; i++) {
                int fd = baton_take_fd(m, i);
                CHECK(fd >= 0 && fd != m->fds[i]);
                CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                close(fd);
        }
        CHECK_EQ(baton_take_fd(m, m->n_fds), -EINVAL);
        if (m->payload_fd >= 0) {
                uint64_t size;
                CHECK_EQ(memfile_sealed_size(m->payload_fd, &size), 0);
                CHECK_EQ(size, m->payload_len);
        }
        note(arg, "%u %s seq %d from %d bytes %zu fds %u withheld %u age %d %s;", m->subscription,
                m->topic, (int)m->seq, (int)m->sender.session, m->payload_len, m->n_fds,
                m->fds_withheld, (int)m->age_ms, m->payload_fd >= 0 ? "placed" : "");
}

static struct message full_delivery(uint64_t seq, uint64_t withheld)
{
        struct message d = fake_delivery(seq, 1);

        d.delivery.n_subs = 2;
        d.delivery.subs[1] = 2;
        d.delivery.flags = WIRE_DELIVERY_RETAINED;
        d.delivery.age_ms = 12;
        d.delivery.withheld = withheld;
        return d;
}

TEST(headers_descriptors_and_the_rest_come_with_either_form)
{
        static const uint8_t map[] = {0x81, 0xa1, 'k', 0xc3};
        struct message m = fake_pub("a", "");
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        m.pub.headers = (struct slice){map, sizeof(map)};
        m.pub.payload.data = NULL;
        m.pub.size = MIB;
        m.pub.n_fds = 3;
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        fake_subscribe(&f, "a", note_everything, &notes);
        fake_subscribe(&f, "*", note_everything, &notes);
        size_t fds = test_open_fds();
        for (int i = 0; i < 4; i++) {
                bool placed = i & 1, withheld = i & 2;
                int file = placed ? payload_file(MIB, true) : open("/dev/null", O_CLOEXEC);
                struct fdset *set = payload_set(file, withheld ? 0 : 2);
                struct message d = full_delivery((uint64_t)i + 1, 0);
                d.delivery.withheld = withheld ? 2 : 0;
                m.type = placed ? WIRE_PUB : WIRE_BEGIN;
                if (!placed && withheld) {
                        d.delivery.withheld = 3;
                        set = fdset_unref(set);
                }
                fake_say(&f, d);
                fake_say(&f, m);
                fake_send_fds(&f, set);
                fdset_unref(set);
                if (!placed) {
                        fake_chunks(&f, 0, MIB, 60000);
                        fake_end(&f, 0);
                }
                CHECK(run(&f) >= 0);
        }
        CHECK_STR(notes.text, "1 a seq 1 from 9 bytes 1048576 fds 3 withheld 0 age 12 ;"
                              "2 a seq 1 from 9 bytes 1048576 fds 3 withheld 0 age 12 ;"
                              "1 a seq 2 from 9 bytes 1048576 fds 2 withheld 0 age 12 placed;"
                              "2 a seq 2 from 9 bytes 1048576 fds 2 withheld 0 age 12 placed;"
                              "1 a seq 3 from 9 bytes 1048576 fds 0 withheld 3 age 12 ;"
                              "2 a seq 3 from 9 bytes 1048576 fds 0 withheld 3 age 12 ;"
                              "1 a seq 4 from 9 bytes 1048576 fds 0 withheld 2 age 12 placed;"
                              "2 a seq 4 from 9 bytes 1048576 fds 0 withheld 2 age 12 placed;");
        CHECK_EQ(test_open_fds(), fds);
        fake_close(&f);
}

/* ---------------------------------------------------------------- taking */

struct taken {
        struct baton_payload p[8];
        size_t n;
        bool frees;
};

static void take(baton *b, const struct baton_message *m, void *arg)
{
        struct taken *t = arg;

        CHECK_EQ(baton_take_payload(m, &t->p[t->n]), 0);
        CHECK_EQ(t->p[t->n].len, m->payload_len);
        /* Only what lies in the packet is copied. */
        CHECK_EQ(t->p[t->n].data == m->payload, m->payload_len > 65015);
        t->n++;
        if (t->frees)
                (void)baton_free(b);
}

static void *drop(void *arg)
{
        struct baton_payload *p = arg;

        payload_check(p->data, 0, p->len);
        baton_drop_payload(p);
        return NULL;
}

static void drop_all(struct taken *t)
{
        for (size_t i = 0; i < t->n; i++) {
                pthread_t thread;
                CHECK_EQ(pthread_create(&thread, NULL, drop, &t->p[i]), 0);
                CHECK_EQ(pthread_join(thread, NULL), 0);
                CHECK_NULL(t->p[i].data);
        }
        t->n = 0;
}

TEST(two_subscriptions_may_both_take_a_payload)
{
        struct taken t = {.n = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        fake_subscribe(&f, "a", take, &t);
        fake_subscribe(&f, "*", take, &t);
        struct message d = full_delivery(1, 0);
        fake_place_file(&f, d, "a", payload_file(MIB, true), MIB, 0);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK_EQ(payload_maps(), 1);
        CHECK(t.p[0].data == t.p[1].data);
        drop_all(&t);
        CHECK_EQ(payload_maps(), 0);
        fake_begin(&f, d, "a", 0);
        fake_chunks(&f, 0, MIB, 65000);
        fake_end(&f, 0);
        CHECK(run(&f) >= 0);
        CHECK_EQ(t.n, 2);
        CHECK(t.p[0].data == t.p[1].data);
        drop_all(&t);
        struct message m = fake_pub("a", "");
        m.pub.payload.len = 1; /* its NUL */
        fake_say(&f, d);
        fake_say(&f, m);
        fake_send(&f);
        CHECK_EQ(baton_process(f.b), 1);
        CHECK(t.p[0].data != t.p[1].data);
        drop_all(&t);
        fake_close(&f);
}

TEST(what_is_taken_outlives_the_handle)
{
        NEEDS_MEMFD();
        for (int i = 0; i < 3; i++) {
                struct taken t = {.frees = true};
                struct fake f;
                fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
                uint32_t sub = fake_subscribe(&f, "a", take, &t);
                if (i == 0)
                        fake_place(&f, sub, "a", MIB);
                else if (i == 1)
                        deliver_chunks(&f, sub, 100000, 100000, 50000);
                else
                        fake_deliver(&f, 1, sub, "a", "");
                CHECK_EQ(baton_process(f.b), -ENOTCONN);
                f.b = NULL;
                CHECK_EQ(t.n, 1);
                fake_close(&f);
                CHECK_EQ(payload_maps(), i == 0);
                drop_all(&t);
                CHECK_EQ(payload_maps(), 0);
        }
}

TEST(nothing_to_take_or_drop_is_fine)
{
        struct baton_payload p = {0};

        baton_drop_payload(&p);
        baton_drop_payload(&p);
}

/* ---------------------------------------------------------------- the inbox */

TEST(large_messages_wait_in_the_inbox)
{
        struct notes notes = {.len = 0};
        struct fake f;

        NEEDS_MEMFD();
        fake_open_over(&f, SOCK_SEQPACKET, fake_welcome_large(20, WIRE_FEATURE_MEMFD), 0);
        uint32_t sub = fake_subscribe(&f, "a", note_large, &notes);
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        fake_place(&f, sub, "a", MIB);
        fake_begin(&f, fake_delivery(2, sub), "a", 0);
        fake_chunks(&f, 0, 50000, 50000);
        fake_say(&f, fake_credit(100));
        fake_send(&f);
        /* Straddles what is kept and what is received later. */
        CHECK_EQ(baton_publish(f.b, "t", "12345678", 8), 0);
        CHECK_STR(notes.text, "");
        CHECK_EQ(payload_maps(), 0);
        /* Told when it was received, not when it is dispatched. */
        CHECK_EQ(fake_skip(&f, WIRE_CREDIT), 1);
        fake_chunks(&f, 50000, 50000, 50000);
        fake_end(&f, 0);
        fake_place(&f, sub, "a", 5);
        CHECK(run(&f) >= 0);
        CHECK_STR(notes.text, "a:1048576;a:100000;a:5;");
        fake_close(&f);
}
