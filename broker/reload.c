/* Design note. The policy while the broker runs. It is read whole before anything changes, so a bad
 * file leaves everything as it was. */
#include "broker/internal.h"
#include "broker/policy_file.h"

int reload_policy(struct server *s)
{
        struct policy *policy = NULL;
        int r = policy_file_read(s->policy_path, &policy);

        if (r)
                return r;
        core_set_policy(s->core, policy, server_now(s));
        /* Now, and not when there is something to send: who does not read might keep a right so. */
        for (size_t i = 0; i < s->n_conns; i++) {
                if (s->conns[i])
                        conn_let_fds_in(s->conns[i]);
        }
        return 0;
}
