/* policy_rules.h - what a policy consists of, for its own files. */
#ifndef BATON_BROKER_CORE_POLICY_RULES_H
#define BATON_BROKER_CORE_POLICY_RULES_H

#include "broker/core/policy.h"
#include "proto/base/list.h"

struct grant {
        struct list link; /* section.grants */
        enum policy_action action;
        bool is_no;
        bool is_per_uid;
        unsigned line;
        size_t len; /* of the filter; 0: none */
        char filter[];
};

struct section {
        struct list link; /* policy.sections */
        enum policy_who who;
        uint32_t id;
        uint64_t quotas[QUOTAS]; /* UINT64_MAX: not said */
        struct list grants;
        char title[];
};

struct policy {
        struct list sections;
        char name[];
};

#endif
