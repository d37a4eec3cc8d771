/* transport.h - the socket of each transport. Private to this room. */
#ifndef BATON_LINK_TRANSPORT_H
#define BATON_LINK_TRANSPORT_H

#include "proto/link/address.h"
#include <sys/socket.h>

/* transport_socket gives the type for socket(2). */
static inline int transport_socket(enum transport transport)
{
        switch (transport) {
        case TRANSPORT_STREAM:
                return SOCK_STREAM;
        case TRANSPORT_DGRAM:
                return SOCK_DGRAM;
        case TRANSPORT_SEQPACKET:
                break;
        }
        return SOCK_SEQPACKET;
}

#endif
