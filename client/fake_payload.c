#include "client/fake_payload.h"

#include "proto/base/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- bytes */

/* Eight bytes at a time: some tests have hundreds of megabytes. They begin with 0, 1, 2 ... 7. */
static uint64_t word_at(size_t k)
{
        static const uint8_t first[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        uint64_t word;

        memcpy(&word, first, sizeof(word));
        return word ^ k * 0x9e3779b97f4a7c15u;
}

static uint8_t byte_at(size_t i)
{
        uint64_t word = word_at(i / 8);
        uint8_t bytes[8];

        memcpy(bytes, &word, sizeof(word));
        return bytes[i % 8];
}

void *payload_make(size_t n)
{
        uint8_t *p = malloc(n + 8);

        CHECK_PTR(p);
        for (size_t i = 0; i < n; i += 8) {
                uint64_t word = word_at(i / 8);
                memcpy(p + i, &word, sizeof(word));
        }
        return p;
}

void payload_check(const void *data, size_t at, size_t n)
{
        const uint8_t *p = data;
        uint64_t word, wrong = 0;

        for (; n && at % 8; n--)
                wrong |= *p++ ^ byte_at(at++);
        for (; n >= 8; n -= 8, at += 8, p += 8) {
                memcpy(&word, p, sizeof(word));
                wrong |= word ^ word_at(at / 8);
        }
        for (; n; n--)
                wrong |= *p++ ^ byte_at(at++);
        CHECK_EQ(wrong, 0);
}

int payload_file(size_t n, bool sealed)
{
        void *bytes = payload_make(n);
        int fd;

        CHECK_EQ(memfile_new(&fd), 0);
        CHECK_EQ(memfile_append(fd, bytes, n), 0);
        if (sealed)
                CHECK_EQ(memfile_seal(fd), 0);
        free(bytes);
        return fd;
}

struct fdset *payload_set(int file, size_t n_pipes)
{
        int fds[WIRE_FDS + 1], ends[2];
        struct fdset *set;

        for (size_t i = 0; i < n_pipes; i++) {
                CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
                close(ends[1]);
                fds[i] = ends[0];
        }
        fds[n_pipes] = file;
        CHECK_EQ(fdset_new_take(fds, n_pipes + 1, NULL, &set), 0);
        return set;
}

size_t payload_maps(void)
{
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        size_t n = 0;

        CHECK_PTR(maps);
        while (fgets(line, sizeof(line), maps))
                n += strstr(line, "memfd:") != NULL;
        fclose(maps);
        return n;
}

/* ---------------------------------------------------------------- from the client */

static void check_file(const struct fake *f, const struct msg_pub *pub)
{
        int fd = fdset_fds(f->fds)[fdset_n(f->fds) - 1];
        uint64_t size = 0;
        const void *data;

        CHECK_EQ(memfile_sealed_size(fd, &size), 0);
        CHECK_EQ(size, pub->size);
        CHECK_EQ(memfile_map(fd, size, &data), 0);
        payload_check(data, 0, size);
        memfile_unmap(data, size);
}

static void take_pub(const struct fake *f, const struct message *m, struct got *got)
{
        const struct msg_pub *pub = &m->pub;

        got->type = m->type;
        snprintf(got->topic, sizeof(got->topic), "%.*s", (int)pub->topic.len,
                (const char *)pub->topic.data);
        got->n_fds = pub->n_fds;
        got->announced = pub->size;
        if (m->type == WIRE_BEGIN)
                return;
        got->placed = !pub->payload.data;
        got->bytes = got->placed ? pub->size : pub->payload.len;
        if (got->placed) {
                got->n_fds--;
                check_file(f, pub);
        } else {
                payload_check(pub->payload.data, 0, pub->payload.len);
        }
}

/* Returns true when the publication is whole. */
static bool take(const struct fake *f, const struct message *m, struct got *got)
{
        switch (m->type) {
        case WIRE_INGRESS:
                got->flags = m->ingress.flags;
                got->id = m->ingress.id;
                break;
        case WIRE_REQUEST:
                got->id = m->request.id;
                break;
        case WIRE_REPLY:
                got->token = m->reply.token;
                break;
        case WIRE_PUB:
        case WIRE_BEGIN:
                take_pub(f, m, got);
                return m->type == WIRE_PUB;
        case WIRE_CHUNK:
                CHECK_EQ(got->type, WIRE_BEGIN);
                payload_check(m->chunk.data, got->bytes, m->chunk.len);
                got->bytes += m->chunk.len;
                got->n_chunks++;
                return false;
        case WIRE_END:
                CHECK_EQ(got->type, WIRE_BEGIN);
                got->status = m->number;
                return true;
        default:
                return false;
        }
        got->head = m->type;
        return false;
}

struct got fake_collect(struct fake *f, baton *b)
{
        struct got got = {.type = 0};
        struct message m;

        for (;;) {
                while (fake_next(f, &m)) {
                        if (take(f, &m, &got))
                                return got;
                        if (f->left < f->window / 2)
                                fake_refund(f);
                }
                if (b)
                        CHECK(baton_process(b) >= 0);
                else
                        CHECK_EQ(link_wait(f->link, POLLIN, -1), 0);
        }
}

/* ---------------------------------------------------------------- to the client */

static void send_with(struct fake *f, const struct fdset *set)
{
        struct iovec iov = {f->out.data, f->out.len};
        int r;

        while ((r = link_send(f->link, &iov, 1, fdset_fds(set), fdset_n(set))) == LINK_E_AGAIN)
                CHECK(baton_process(f->b) >= 0);
        CHECK_EQ(r, 0);
        while (link_is_unsent(f->link) && link_flush(f->link) == LINK_E_AGAIN)
                CHECK(baton_process(f->b) >= 0);
        buf_clear(&f->out);
}

void fake_place_file(struct fake *f, struct message delivery, const char *topic, int file,
        uint64_t size, size_t n_pipes)
{
        struct fdset *set = payload_set(file, n_pipes);
        struct message m = fake_pub(topic, "");

        m.pub.n_fds = (uint32_t)(n_pipes + delivery.delivery.withheld) + 1;
        m.pub.payload.data = NULL;
        m.pub.size = size;
        fake_say(f, delivery);
        fake_say(f, m);
        send_with(f, set);
        fdset_unref(set);
}

void fake_place(struct fake *f, uint32_t sub, const char *topic, size_t n)
{
        fake_place_file(f, fake_delivery(1, sub), topic, payload_file(n, true), n, 0);
}

void fake_begin(struct fake *f, struct message delivery, const char *topic, uint64_t size)
{
        struct message m = fake_pub(topic, "");

        m.type = WIRE_BEGIN;
        m.pub.size = size;
        fake_say(f, delivery);
        fake_say(f, m);
        send_with(f, NULL);
}

void fake_chunks(struct fake *f, size_t at, size_t n, size_t piece)
{
        uint8_t *bytes = payload_make(at + n);

        for (size_t end = at + n; at < end;) {
                size_t len = size_min(end - at, piece);
                fake_say(f, (struct message){.type = WIRE_CHUNK, .chunk = {bytes + at, len}});
                send_with(f, NULL);
                at += len;
        }
        free(bytes);
}

void fake_end(struct fake *f, unsigned status)
{
        fake_say(f, (struct message){.type = WIRE_END, .number = status});
        send_with(f, NULL);
}

void note_large(baton *b, const struct baton_message *m, void *arg)
{
        (void)b;
        CHECK_PTR(m->payload);
        payload_check(m->payload, 0, m->payload_len);
        note(arg, "%s:%zu;", m->topic, m->payload_len);
}
