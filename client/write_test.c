/* Payloads written piece by piece: baton_begin, baton_write, baton_end, baton_abandon. */
#include "client/fake_payload.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct baton_publication plain = {.topic = "t"};

/* Writes the first `n` bytes of the pattern in pieces; a piece that would wait is tried again. */
static void write_pattern(struct fake *f, size_t n, size_t piece)
{
        uint8_t *bytes = payload_make(n);

        for (size_t at = 0; at < n;) {
                size_t len = size_min(piece, n - at);
                int r = baton_write(f->b, bytes + at, len);
                if (r == 0)
                        at += len;
                else
                        CHECK_EQ(r, -EAGAIN);
                if (r < 0)
                        return free(bytes);
        }
        free(bytes);
}

struct peer {
        struct fake *f;
        struct got got;
};

static void *read_one(void *arg)
{
        struct peer *p = arg;

        p->got = fake_collect(p->f, NULL);
        return NULL;
}

/* All of it, by a blocking handle. */
static struct got write_all(struct fake *f, size_t n, uint64_t said, size_t piece)
{
        struct peer peer = {.f = f};
        pthread_t thread;

        CHECK_EQ(pthread_create(&thread, NULL, read_one, &peer), 0);
        CHECK_EQ(baton_begin(f->b, &plain, said, NULL, NULL), 0);
        write_pattern(f, n, piece);
        CHECK_EQ(baton_end(f->b), 0);
        CHECK_EQ(baton_flush(f->b, -1), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(peer.got.bytes, n);
        CHECK_EQ(peer.got.status, 0);
        CHECK_STR(peer.got.topic, "t");
        fake_refund(f);
        CHECK_EQ(run(f), 0);
        CHECK_EQ(f->b->out.window, f->window);
        return peer.got;
}

static const struct {
        size_t n, piece;
} written[] = {{0, 1}, {1, 1}, {255, 7}, {256, 256}, {65015, 1000}, {65016, 65016}, {65024, 9},
        {65025, 65025}, {200000, 777}, {MIB, 65019}, {MIB, 65536}, {70 * MIB, MIB}};

TEST(what_is_written_is_placed_or_fits_a_frame)
{
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        size_t fds = test_open_fds();
        for (size_t i = 0; i < ARRAY_LEN(written); i++) {
                struct got got =
                        write_all(&f, written[i].n, i & 1 ? written[i].n : 0, written[i].piece);
                CHECK_EQ(got.type, WIRE_PUB);
                CHECK_EQ(got.placed, written[i].n > 65015);
                f.fds = fdset_unref(f.fds);
                CHECK_EQ(test_open_fds(), fds);
        }
        fake_close(&f);
}

TEST(what_is_written_goes_in_chunks_elsewhere)
{
        struct fake f;

        fake_open_large(&f, 0, 0);
        for (size_t i = 0; i < ARRAY_LEN(written); i++) {
                size_t n = written[i].n;
                struct got got = write_all(&f, n, i & 1 ? n : 0, written[i].piece);
                CHECK_EQ(got.type, WIRE_BEGIN);
                CHECK_EQ(got.announced, i & 1 ? n : 0);
                /* Gathered, whatever the pieces were. */
                CHECK(got.n_chunks <= n / 60000 + 1);
        }
        fake_close(&f);
}

TEST(where_a_frame_is_the_limit_it_is_gathered_into_one)
{
        uint8_t *bytes = payload_make(70000);
        struct fake f;

        fake_open(&f);
        struct got got = write_all(&f, 65015, 65015, 100);
        CHECK_EQ(got.type, WIRE_PUB);
        CHECK_EQ(baton_begin(f.b, &plain, 65025, NULL, NULL), -EMSGSIZE);
        CHECK_EQ(baton_begin(f.b, &plain, 0, NULL, NULL), 0);
        CHECK_EQ(baton_write(f.b, bytes, 65020), 0);
        CHECK_EQ(baton_end(f.b), -EMSGSIZE);
        CHECK(strstr(baton_error(f.b), "frame_bytes"));
        CHECK_EQ(baton_begin(f.b, &plain, 0, NULL, NULL), 0);
        CHECK_EQ(baton_write(f.b, bytes, 70000), -EMSGSIZE);
        CHECK_EQ(baton_publish(f.b, "t", "x", 1), 0);
        (void)fake_expect(&f, WIRE_PUB);
        free(bytes);
        fake_close(&f);
}

TEST(in_between_nothing_else_is_published)
{
        struct baton_publication p = {.topic = "t"};
        struct notes notes = {.len = 0};

        for (uint64_t features = 0; features < 1u + memfile_can_seal(); features++) {
                struct fake f;
                fake_open_large(&f, features, 0);
                CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), 0);
                CHECK_EQ(baton_publish(f.b, "t", "", 0), -EBUSY);
                CHECK_STR(baton_error(f.b),
                        "between baton_begin and baton_end: end it, or baton_abandon");
                CHECK_EQ(baton_publish_with(f.b, &p), -EBUSY);
                CHECK_EQ(baton_publish_confirm(f.b, &p, note_done, &notes), -EBUSY);
                CHECK_EQ(baton_publish_wait(f.b, &p, 0), -EBUSY);
                CHECK_EQ(baton_request(f.b, &p, 0, NULL, NULL), -EBUSY);
                CHECK_EQ(baton_reply(f.b, 5, "", 0), -EBUSY);
                CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), -EBUSY);
                CHECK_EQ(baton_flush(f.b, 0), 0);
                /* All else works. */
                if (!features)
                        (void)fake_expect(&f, WIRE_BEGIN);
                uint32_t sub = fake_subscribe(&f, "a", note_message, &notes);
                fake_deliver(&f, 1, sub, "a", "1");
                CHECK_EQ(baton_process(f.b), 1);
                /* A little is gathered, and no flush makes a chunk of it. */
                CHECK_EQ(baton_write(f.b, "\0", 1), 0);
                CHECK_EQ(baton_flush(f.b, 0), 0);
                CHECK_EQ(fake_skip(&f, WIRE_CHUNK), 0);
                CHECK_EQ(baton_end(f.b), 0);
                CHECK_EQ(baton_end(f.b), -EINVAL);
                CHECK_STR(baton_error(f.b), "nothing was begun: baton_begin comes first");
                CHECK_EQ(baton_write(f.b, "x", 1), -EINVAL);
                CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
                fake_close(&f);
        }
        CHECK_STR(notes.text, memfile_can_seal() ? "a=1;a=1;" : "a=1;");
}

TEST(a_wrong_size_abandons_it)
{
        for (uint64_t features = 0; features < 1u + memfile_can_seal(); features++) {
                struct notes notes = {.len = 0};
                struct fake f;
                struct message m;
                fake_open_large(&f, features, 0);
                CHECK_EQ(baton_begin(f.b, &plain, 3, note_done, &notes), 0);
                CHECK_EQ(baton_write(f.b, "ab", 2), 0);
                CHECK_EQ(baton_end(f.b), -EINVAL);
                CHECK_STR(baton_error(f.b), "2 bytes of the 3 that were announced");
                CHECK_EQ(baton_begin(f.b, &plain, 3, note_done, &notes), 0);
                CHECK_EQ(baton_write(f.b, "abcd", 4), -EINVAL);
                CHECK_EQ(baton_end(f.b), -EINVAL);
                CHECK_EQ(baton_begin(f.b, &plain, (uint64_t)FAKE_LARGEST + 1, NULL, NULL),
                        -EMSGSIZE);
                CHECK(strstr(baton_error(f.b), "payload_bytes"));
                while (fake_next(&f, &m)) {
                        CHECK(m.type != WIRE_PUB);
                        if (m.type == WIRE_END)
                                CHECK_EQ(m.number, 1);
                }
                CHECK(!f.in_chunks);
                CHECK_EQ(f.left, f.b->out.window);
                CHECK_EQ(f.b->ops.n, 0);
                fake_close(&f);
                CHECK_STR(notes.text, "");
        }
}

TEST(what_is_abandoned_never_was)
{
        for (uint64_t features = 0; features < 1u + memfile_can_seal(); features++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, features, 0);
                size_t fds = test_open_fds();
                baton_abandon(f.b);
                CHECK_EQ(baton_begin(f.b, &plain, 0, note_done, &notes), 0);
                write_pattern(&f, 150000, 150000);
                baton_abandon(f.b);
                CHECK_EQ(test_open_fds(), fds);
                CHECK_EQ(f.b->ops.n, 0);
                if (!features) {
                        struct got got = fake_collect(&f, NULL);
                        CHECK_EQ(got.status, 1);
                        CHECK(got.bytes <= 150000);
                        /* Its answer finds nobody. */
                        fake_say(&f, fake_err(1, WIRE_CODE_CANCELLED, ""));
                        fake_send(&f);
                        CHECK_EQ(run(&f), 0);
                }
                CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
                CHECK_EQ(fake_expect(&f, WIRE_PUB).pub.payload.len, 0);
                fake_close(&f);
                CHECK_STR(notes.text, "");
        }
}

TEST(what_it_is_given_at_the_beginning_may_go_away)
{
        for (uint64_t features = 0; features < 1u + memfile_can_seal(); features++) {
                char topic[] = "topic.of.it", key[] = "key", value[] = "value";
                struct baton_header h = {.key = key, .kind = BATON_STR, .value.bytes = {value, 5}};
                int fds[2];
                struct baton_publication p = {.topic = topic,
                        .headers = &h,
                        .n_headers = 1,
                        .flags = BATON_RETAIN,
                        .ttl_ms = 7,
                        .fds = fds,
                        .n_fds = 1};
                struct notes notes = {.len = 0};
                struct fake f;
                CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
                fake_open_large(&f, features, 0);
                CHECK_EQ(baton_begin(f.b, &p, 5, note_done, &notes), 0);
                memset(topic, 'x', sizeof(topic) - 1);
                memset(key, 'x', 3);
                memset(value, 'x', 5);
                close(fds[0]);
                write_pattern(&f, 5, 2);
                CHECK_EQ(baton_end(f.b), 0);
                struct message m = fake_expect(&f, WIRE_INGRESS);
                CHECK_EQ(m.ingress.flags, WIRE_INGRESS_RETAIN | WIRE_INGRESS_CONFIRM);
                CHECK_EQ(m.ingress.ttl_ms, 7);
                CHECK(fake_next(&f, &m));
                CHECK_EQ(m.type, features ? WIRE_PUB : WIRE_BEGIN);
                CHECK(slice_is(m.pub.topic, "topic.of.it"));
                CHECK_EQ(m.pub.n_headers, 1);
                CHECK_BYTES(m.pub.headers.data, "\x81\xa3key\xa5value", 11);
                CHECK_EQ(m.pub.n_fds, 1);
                fake_say(&f, fake_ok(1, 3, 1));
                fake_send(&f);
                CHECK_EQ(run(&f), 0);
                CHECK_STR(notes.text, "done 3;");
                close(fds[1]);
                fds[0] = -1;
                p.n_fds = 17;
                p.topic = "t";
                CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), -EINVAL);
                p.n_fds = 1;
                CHECK_EQ(baton_begin(f.b, &p, 0, NULL, NULL), -EBADF);
                CHECK_EQ(baton_begin(f.b, &(struct baton_publication){0}, 0, NULL, NULL), -EINVAL);
                CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
                fake_close(&f);
        }
}

TEST(the_loss_of_the_connection_is_told_once)
{
        for (int i = 0; i < 6; i++) {
                struct notes notes = {.len = 0};
                struct fake f;
                fake_open_large(&f, i & 1 ? WIRE_FEATURE_MEMFD : 0, 0);
                size_t fds = test_open_fds();
                CHECK_EQ(baton_begin(f.b, &plain, 0, note_done, &notes), 0);
                write_pattern(&f, 150000, 150000);
                f.link = link_free(f.link);
                if (i < 2)
                        CHECK_EQ(run(&f), -ENOTCONN);
                else if (i < 4)
                        CHECK_EQ(baton_end(f.b), -ENOTCONN);
                else
                        f.b = baton_free(f.b);
                if (f.b) {
                        CHECK_EQ(baton_write(f.b, "x", 1), -ENOTCONN);
                        CHECK_EQ(baton_end(f.b), -ENOTCONN);
                        baton_abandon(f.b);
                        CHECK_EQ(run(&f), -ENOTCONN);
                        CHECK_EQ(f.b->ops.n, 0);
                        CHECK_EQ(test_open_fds(), fds - 2);
                }
                CHECK_STR(notes.text, "done -107;");
                fake_close(&f);
        }
}

/* Reads what has come of it, and lets the handle go on. */
static void take_chunks(struct fake *f, size_t *bytes)
{
        struct message m;

        while (fake_next(f, &m)) {
                if (m.type != WIRE_CHUNK)
                        continue;
                payload_check(m.chunk.data, *bytes, m.chunk.len);
                *bytes += m.chunk.len;
        }
        fake_refund(f);
        CHECK_EQ(baton_process(f->b), 0);
}

TEST(a_nonblocking_handle_writes_as_it_may)
{
        enum { PIECE = 100000, N = 50 };
        uint8_t *bytes = payload_make(N * PIECE);
        size_t got = 0;
        struct fake f;
        int n_again = 0;

        fake_open_large(&f, 0, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_begin(f.b, &plain, N * PIECE, NULL, NULL), 0);
        for (size_t i = 0; i < N;) {
                int r = baton_write(f.b, bytes + i * PIECE, PIECE);
                if (r == 0) {
                        i++;
                        continue;
                }
                CHECK_EQ(r, -EAGAIN);
                n_again++;
                take_chunks(&f, &got);
        }
        CHECK(n_again > 1);
        CHECK_EQ(baton_end(f.b), 0);
        free(bytes);
        CHECK_EQ(baton_end(f.b), -EINVAL);
        while (f.in_chunks)
                take_chunks(&f, &got);
        CHECK_EQ(got, N * PIECE);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        fake_close(&f);
}

TEST(an_end_that_would_wait_may_be_called_again)
{
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        baton_set_nonblocking(f.b, true);
        CHECK_EQ(baton_begin(f.b, &plain, 0, NULL, NULL), 0);
        write_pattern(&f, 200000, 50000);
        f.b->out.window = 100; /* less than it costs */
        CHECK_EQ(baton_end(f.b), -EAGAIN);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), -EBUSY);
        CHECK_EQ(baton_write(f.b, "x", 1), -EINVAL);
        CHECK_EQ(baton_end(f.b), -EINVAL);
        CHECK_EQ(baton_begin(f.b, &plain, 0, NULL, NULL), 0);
        write_pattern(&f, 200000, 50000);
        CHECK_EQ(baton_end(f.b), -EAGAIN);
        f.b->out.window = f.left;
        CHECK_EQ(baton_end(f.b), 0);
        struct got got = fake_collect(&f, f.b);
        CHECK(got.placed);
        CHECK_EQ(got.bytes, 200000);
        fake_close(&f);
}

TEST(a_right_that_is_taken_away_meanwhile_is_told)
{
        struct fake f;

        NEEDS_MEMFD();
        fake_open_large(&f, WIRE_FEATURE_MEMFD, 0);
        size_t fds = test_open_fds();
        CHECK_EQ(baton_begin(f.b, &plain, 0, NULL, NULL), 0);
        write_pattern(&f, 200000, 50000);
        fake_say(&f, (struct message){.type = WIRE_RIGHTS, .number = WIRE_RIGHT_PUBLISH});
        fake_send(&f);
        CHECK_EQ(run(&f), 0);
        CHECK_EQ(baton_end(f.b), -EACCES);
        CHECK_EQ(test_open_fds(), fds);
        CHECK_EQ(baton_publish(f.b, "t", "", 0), 0);
        fake_close(&f);
}
