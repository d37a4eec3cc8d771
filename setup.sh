#!/bin/sh
# Installs everything Baton is built and tested with, from Debian's packages. Idempotent.
#
#   ./setup.sh           install what is missing (with sudo where not root)
#   ./setup.sh --check   only say what is missing; status 1 if anything is
#   ./setup.sh --bench   also what measuring needs (docs/PERFORMANCE.md)
set -eu

# What `bazel build` and `bazel test //...` need.
build="bazel-bootstrap bazel-rules-java bazel-rules-proto gcc g++ libc6-dev pkg-config
       libuv1-dev libmsgpack-dev libjansson-dev libinih-dev libseccomp-dev libcmocka-dev python3 procps
       iproute2 util-linux valgrind libglib2.0-dev mandoc systemd"
# What the other lanes of .ci/run need: the portable build, layering and fuzzing, format and lint.
lanes="libbsd-dev clang libclang-rt-14-dev clang-format universal-ctags shellcheck git"
# The fastest peer of the comparison, and what draws the curves.
bench="make libzmq3-dev gnuplot-nox"

usage() {
    echo "usage: ./setup.sh [--check] [--bench]" >&2
    exit 2
}

check=false
packages="$build $lanes"
for argument in "$@"; do
    case $argument in
    --check) check=true ;;
    --bench) packages="$packages $bench" ;;
    *) usage ;;
    esac
done

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup.sh: this is not a Debian system: install these by your own means:" >&2
    echo "$packages" | tr -s ' \n' '\n' | sed 's/^/  /' >&2
    exit 1
fi

missing=
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done

if [ -z "$missing" ]; then
    echo "setup.sh: everything is installed"
    exit 0
fi
echo "setup.sh: missing:$missing"
if $check; then
    exit 1
fi

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "setup.sh: not root and no sudo: run as root: apt-get install$missing" >&2
        exit 1
    }
    sudo=sudo
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of names
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
echo "setup.sh: installed:$missing"
