#!/bin/sh
# Installs the library with its headers and manual, the broker with its unit, and the tools:
#
#   bazel run --config=release //client/package:install -- PREFIX [--destdir DIR]
#
# PREFIX is where all of it will be found (/usr/local); DIR is put in front of it for those who make
# a package. A file that is there already is replaced at once, never overwritten: programs that run
# keep what they began with.
set -eu
umask 022

fail() {
    echo "install: $*" >&2
    exit 1
}

usage() {
    echo "usage: install PREFIX [--destdir DIR]" >&2
    exit 2
}

absolute() { # of a path as the user sees it: bazel run changes the directory
    case $1 in
    /*) echo "$1" ;;
    *) echo "${BUILD_WORKING_DIRECTORY:-$PWD}/$1" ;;
    esac
}

prefix=
destdir=
while [ $# -gt 0 ]; do
    case $1 in
    --destdir)
        [ $# -ge 2 ] || usage
        destdir=$(absolute "$2")
        shift
        ;;
    -*) usage ;;
    *)
        if [ -n "$prefix" ] || [ -z "$1" ]; then usage; fi
        prefix=$(absolute "$1")
        ;;
    esac
    shift
done
[ -n "$prefix" ] || usage
case $prefix in
*[!A-Za-z0-9/._+-]*) fail "baton.pc cannot say a prefix like this: $prefix" ;;
esac

root=${RUNFILES_DIR:-$0.runfiles}/baton
[ -f "$root/client/libbaton.a" ] || root=$PWD
[ -f "$root/client/libbaton.a" ] || fail "run it by bazel run"

new=
trap 'rm -f "$new"' EXIT

put() { # put MODE TARGET <FILE
    target=$destdir$prefix/$2
    mkdir -p "${target%/*}"
    new=$target.new.$$
    cat >"$new"
    chmod "$1" "$new"
    mv -f "$new" "$target"
}

link() { # link NAME TARGET
    target=$destdir$prefix/$2
    new=$target.new.$$
    ln -s "$1" "$new"
    mv -f "$new" "$target"
}

pc=$root/client/package/baton.pc
version=$(sed -n 's/^Version: //p' "$pc")
shared=libbaton.so.$version
soname=libbaton.so.${version%%.*}

# The library before what asks for it.
put 0755 "lib/$shared" <"$root/client/package/libbaton.so"
link "$shared" "lib/$soname"
link "$soname" lib/libbaton.so
put 0644 lib/libbaton.a <"$root/client/libbaton.a"
for header in baton_message.h baton_connection.h baton.h; do
    put 0644 "include/$header" <"$root/client/$header"
done
put 0644 lib/pkgconfig/baton.pc <<END
$(sed "s|@prefix@|$prefix|" "$pc")
END
put 0755 bin/baton-broker <"$root/broker/broker"
put 0755 bin/baton <"$root/client/cli/baton"
put 0644 lib/systemd/system/baton.service <<END
$(sed "s|@prefix@|$prefix|" "$root/broker/package/baton.service.in")
END
put 0644 lib/systemd/system/baton.socket <"$root/broker/package/baton.socket"
put 0644 share/doc/baton/policy.conf <"$root/broker/package/policy.conf"
put 0644 lib/sysusers.d/baton.conf <"$root/broker/package/baton.sysusers"
for page in "$root"/docs/man/*.[1-8]; do
    [ -f "$page" ] || continue
    put 0644 "share/man/man${page##*.}/${page##*/}" <"$page"
done

echo "baton $version is in $destdir$prefix; the dynamic linker may have to be told (ldconfig)"
