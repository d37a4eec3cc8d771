/* Design note. A relay that knows nothing: each packet goes, as it is, to all who hear the channel
 * that its first byte names. What this costs is the kernel's, and nobody who uses SEQPACKET and a
 * process in the middle can do better. `relay PATH` */
#include "tests/bench/relay/packet.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum { PEERS_MAX = 64 };

static struct peer {
        int fd, channel; /* channel -1: it has not said yet; 0: it only sends */
} peers[PEERS_MAX];
static int n_peers;

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        perror(what);
        exit(1);
}

static void watch(int loop, int fd, uint64_t number)
{
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = number};

        must(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e), "epoll_ctl");
}

static void take_in(int loop, int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        must(fd, "accept");
        must(n_peers < PEERS_MAX ? 0 : -1, "too many");
        peers[n_peers] = (struct peer){fd, -1};
        watch(loop, fd, (uint64_t)n_peers++);
}

static void forward(struct peer *from)
{
        static uint8_t packet[PACKET_BYTES];
        int fd;
        ssize_t n = packet_recv(from->fd, packet, &fd);

        if (n <= 0) {
                close(from->fd);
                from->channel = -1;
        } else if (from->channel < 0) {
                from->channel = packet[0];
                must(packet_send(from->fd, "", 1, -1), "ready");
        } else {
                for (int i = 0; i < n_peers; i++) {
                        if (peers[i].channel == packet[0])
                                (void)packet_send(peers[i].fd, packet, (size_t)n, fd);
                }
        }
        if (fd >= 0)
                close(fd);
}

int main(int argc, char **argv)
{
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        struct epoll_event events[PEERS_MAX];
        int loop = epoll_create1(EPOLL_CLOEXEC);
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        if (argc != 2)
                return 2;
        snprintf(name.sun_path, sizeof(name.sun_path), "%s", argv[1]);
        must(bind(listener, (struct sockaddr *)&name, sizeof(name)), "bind");
        must(listen(listener, PEERS_MAX), "listen");
        watch(loop, listener, UINT64_MAX);
        fprintf(stderr, "ready\n");
        for (;;) {
                int n = epoll_wait(loop, events, PEERS_MAX, -1);
                must(n, "epoll_wait");
                for (int i = 0; i < n; i++) {
                        if (events[i].data.u64 == UINT64_MAX)
                                take_in(loop, listener);
                        else
                                forward(&peers[events[i].data.u64]);
                }
        }
}
