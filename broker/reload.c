/* Design note. The policy while the broker runs. It is read whole before anything changes, so a bad
 * file leaves everything as it was. */
#include "broker/internal.h"
#include "broker/policy_file.h"

int reload_policy(struct server *s)
{
        struct policy *policy = NULL;
        int r = policy_file_read(s->policy_path, &policy);

        if (r == 0)
                core_set_policy(s->core, policy, server_now(s));
        return r;
}
