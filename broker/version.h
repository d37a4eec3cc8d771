/* version.h - what the broker calls itself, in --version and in WELCOME. */
#ifndef BATON_BROKER_VERSION_H
#define BATON_BROKER_VERSION_H

#define BATON_BROKER_VERSION "0.1.0"

#endif
