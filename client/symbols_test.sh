#!/bin/sh
# The archive gives a program baton_... and nothing else that could collide with its own names.
set -eu
defined=$(nm --defined-only --extern-only "$1" | awk 'NF == 3 { print $3 }')
[ "$(echo "$defined" | grep -c '^baton_')" -ge 30 ] || {
    echo "only these are defined: $defined"
    exit 1
}
strange=$(echo "$defined" | grep -v '^baton_' || true)
[ -z "$strange" ] || {
    echo "not ours to define: $strange"
    exit 1
}
