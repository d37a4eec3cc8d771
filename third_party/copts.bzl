"""The warnings and the dialect, said once. -Werror is in .bazelrc alone: not every user has our compiler."""

COPTS = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wwrite-strings",
    "-Wvla",
    "-Wpointer-arith",
    "-Wformat=2",
    "-fno-common",
    "-fvisibility=hidden",
]
