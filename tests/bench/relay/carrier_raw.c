/* Design note. The least that a bus over SEQPACKET can do: messages with a length before each,
 * gathered to full packets (or not: `single`), and one byte in front that says to which channel.
 * Large ones go in a sealed memory file. Every call waits; that is the back-pressure. */
#include "tests/bench/relay/carrier.h"

#include "tests/bench/relay/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FILE_FROM = 65000 };

struct end {
        int fd;
        bool gathers;
        carrier_fn fn;
        void *arg;
        size_t len; /* of what is gathered */
        uint8_t out[PACKET_BYTES], in[PACKET_BYTES];
        uint8_t *large; /* received in a file */
        size_t large_cap;
};

static void must(bool is_good, const char *what)
{
        if (!is_good)
                fail(what, strerror(errno));
}

static struct end *open_as(const char *address, int channel, carrier_fn fn, void *arg, bool gathers)
{
        struct end *e = calloc(1, sizeof(*e));
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        uint8_t hello = (uint8_t)channel, ready;

        must(e != NULL, "malloc");
        e->fn = fn;
        e->arg = arg;
        e->gathers = gathers;
        e->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        strncpy(name.sun_path, address, sizeof(name.sun_path) - 1);
        must(connect(e->fd, (struct sockaddr *)&name, sizeof(name)) == 0, "connect");
        must(send(e->fd, &hello, 1, 0) == 1, "hello");
        must(recv(e->fd, &ready, 1, 0) == 1, "ready");
        return e;
}

static void *open_gathering(const char *address, int channel, carrier_fn fn, void *arg)
{
        return open_as(address, channel, fn, arg, true);
}

static void *open_single(const char *address, int channel, carrier_fn fn, void *arg)
{
        return open_as(address, channel, fn, arg, false);
}

static void flush(void *end)
{
        struct end *e = end;

        if (e->len)
                must(packet_send(e->fd, e->out, e->len, -1) == 0, "send");
        e->len = 0;
}

static int file_of(const void *data, size_t len)
{
        int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        must(fd >= 0, "memfd_create");
        for (size_t at = 0; at < len;) {
                ssize_t n = write(fd, (const uint8_t *)data + at, len - at);
                must(n > 0, "write");
                at += (size_t)n;
        }
        must(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0,
                "seal");
        return fd;
}

static void put(struct end *e, int channel, const void *data, size_t len)
{
        uint32_t head = (uint32_t)len;

        if (!e->len)
                e->out[e->len++] = (uint8_t)channel;
        memcpy(e->out + e->len, &head, sizeof(head));
        memcpy(e->out + e->len + sizeof(head), data, len);
        e->len += sizeof(head) + len;
}

static void send_file(struct end *e, int channel, const void *data, size_t len)
{
        uint8_t byte = (uint8_t)channel;
        int file = file_of(data, len);

        flush(e);
        must(packet_send(e->fd, &byte, 1, file) == 0, "send");
        close(file);
}

static void send_one(void *end, int channel, const void *data, size_t len, int fd)
{
        struct end *e = end;

        if (len > FILE_FROM) {
                send_file(e, channel, data, len);
                return;
        }
        if (e->len + sizeof(uint32_t) + len > PACKET_BYTES || fd >= 0)
                flush(e);
        put(e, channel, data, len);
        if (fd >= 0) {
                must(packet_send(e->fd, e->out, e->len, fd) == 0, "send");
                e->len = 0;
        } else if (!e->gathers) {
                flush(e);
        }
}

static void receive_file(struct end *e, int fd)
{
        struct stat st;

        must(fstat(fd, &st) == 0, "fstat");
        size_t len = (size_t)st.st_size;
        if (len > e->large_cap) {
                e->large = realloc(e->large, len);
                must(e->large != NULL, "malloc");
                e->large_cap = len;
        }
        must(pread(fd, e->large, len, 0) == st.st_size, "pread");
        e->fn(e->arg, e->large, len, -1);
}

static void receive(void *end)
{
        struct end *e = end;
        uint32_t head;
        int fd = -1;
        ssize_t n = packet_recv(e->fd, e->in, &fd);

        must(n > 0, "recv");
        if (n == 1 && fd >= 0)
                receive_file(e, fd);
        for (size_t at = 1; at < (size_t)n; at += sizeof(head) + head) {
                memcpy(&head, e->in + at, sizeof(head));
                e->fn(e->arg, e->in + at + sizeof(head), head, fd);
        }
        if (fd >= 0)
                close(fd);
}

const struct carrier carrier_raw = {"raw", open_gathering, send_one, flush, receive};
const struct carrier carrier_single = {"single", open_single, send_one, flush, receive};
