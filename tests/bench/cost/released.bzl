"""A program as it is installed (.bazelrc: release), whatever the build around it is: instructions are
counted of it, and a sanitizer's are not ours."""

def _release_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": [
            "-O2",
            "-U_FORTIFY_SOURCE",
            "-D_FORTIFY_SOURCE=2",
            "-fstack-protector-strong",
        ],
        "//command_line_option:linkopt": [],
        "//command_line_option:strip": "sometimes",
    }

_release = transition(
    implementation = _release_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        "//command_line_option:linkopt",
        "//command_line_option:strip",
    ],
)

def _released_binary_impl(ctx):
    built = ctx.attr.binary[0][DefaultInfo]
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = built.files_to_run.executable, is_executable = True)
    return [DefaultInfo(executable = program, runfiles = built.default_runfiles)]

released_binary = rule(
    implementation = _released_binary_impl,
    attrs = {
        "binary": attr.label(cfg = _release, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
