#!/bin/sh
# The core calls nobody but the C library's pure functions, and floors 0 and 1: no system call, no
# clock, no loop. Reads the symbols of their archives (genrule core_symbols), one a line:
# ROOM MEMBER SYMBOL TYPE, and checks every undefined one against a list.
set -eu

symbols=$1

awk '
# What compilers and sanitizers put in by themselves.
function is_tool(s) {
        return s ~ /^__(asan|ubsan|tsan|sanitizer|sancov|stack_chk|gcov|llvm)/ ||
                s == "_GLOBAL_OFFSET_TABLE_" || s == "__start___sancov_cntrs" ||
                s ~ /^__(start|stop)___sancov/
}

# Pure: they touch the memory that they are given, and the heap.
function is_pure(s) {
        sub(/^__isoc99_/, "", s)
        if (s ~ /^__.*_chk$/) { # _FORTIFY_SOURCE
                sub(/^__/, "", s)
                sub(/_chk$/, "", s)
        }
        return s ~ /^(mem(cpy|move|set|cmp|chr)|bcmp|str(len|cmp|ncmp|chr))$/ ||
                s ~ /^(malloc|calloc|realloc|free|qsort|[hn]to[nh][sl]|v?snprintf|abort|__assert_fail)$/
}

function is_allowed(room, member, s) {
        if (room != "base" && s ~ /^(memfile|sys)_/) # for the shell and the client
                return 0
        if (is_pure(s) || is_tool(s) || (s in defined))
                return 1
        if (room == "wire")
                return s ~ /^msgpack_/
        return room == "base" && (member ~ /memfile|sys_/ || (member ~ /fdset/ && s == "close"))
}

BEGIN { n = 0 }
$4 ~ /^[A-TV-Z]$/ { defined[$3] = 1 }
$4 !~ /^[Uwv]$/ { next }
{ room[n] = $1; member[n] = $2; undefined[n] = $3; n++ }

END {
        for (i = 0; i < n; i++) {
                s = undefined[i]
                seen[room[i] " " s] = 1
                if (!(room[i] " " member[i] in members)) {
                        members[room[i] " " member[i]] = 1
                        n_members[room[i]]++
                }
                if (!is_allowed(room[i], member[i], s)) {
                        print "impure: " room[i] "/" member[i] " uses " s
                        bad = 1
                }
        }
        # An empty list would be pure as well: what must be there is there.
        if (n < 150 || n_members["core"] < 14 || n_members["base"] < 4 || n_members["wire"] < 6) {
                print "too little seen: " n " symbols, " n_members["core"] " files of the core"
                bad = 1
        }
        if (!("core_input" in defined) || !("core message_encode" in seen) ||
                !("core malloc" in seen) || !("base close" in seen)) {
                print "not the symbols of the core"
                bad = 1
        }
        if (!bad)
                print n " undefined symbols, all pure"
        exit bad
}
' "$symbols"
