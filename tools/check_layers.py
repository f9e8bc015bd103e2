#!/usr/bin/env python3
"""Checks that includes point downwards through the layers of the source.

    core < group < graph < ops < backend < data < workloads < train < measure < machine
         < protocol < run, native < store < report < study < serve < cli

- A file of src/LAYER may include headers of its own layer and of the layers below it, but for those
  that FORBIDDEN names.
- The files of src/ops/FAMILY whose name ends in _cpu, _onednn, _gpu, _cudnn, _cublaslt or _clblast
  belong to an implementation, and count as the layer `backend`.
  A text NAME_list.gpu.c has formulas that the op itself reads too, and stays with it.
- include/breakeven may include nothing of the project but itself.
- An include of the project is written from src/ or include/ ("core/status.h"), and its file exists.
- The headers of oneDNN are for the layer `backend` alone.
- src/study prints nothing and keeps nothing in static variables: whoever asks listens by a watch.
- No two files of a folder use each other, directly or over others (circles.py).
- Kernel files and their host sides agree about their words (parameters.py).
- Who reads the time or waits does it through core/clock.h, where a test can replace both.

Usage: check_layers.py [ROOT]        exit 0: clean, 1: findings, one per line
"""

import os
import re
import sys

from circles import find_circles
from parameters import find_parameters
from source_files import list_files, read_lines

LAYERS = ["core", "group", "graph", "ops", "backend", "data", "workloads", "train", "measure",
          "machine", "protocol", "run", "native", "store", "report", "study", "serve",
          "cli"]
RANK = {name: rank for rank, name in enumerate(LAYERS)}
IMPLEMENTATION = re.compile(r"^src/ops/.+_(cpu|onednn|gpu|cudnn|cublaslt|clblast)\.(c|h)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
# By meson, of no layer.
GENERATED = {"build_info.h", "asset_icon_svg.h", "asset_page_js.h", "asset_style_css.h"}
# What a layer promises beyond its place: numbers in, numbers out; who asks and who answers apart.
FORBIDDEN = {
    "measure": ("core/clock.h", "core/file.h", "core/topology.h"),
    "protocol": ("core/clock.h",),
    "native": ("run/",),
    "cli": ("run/", "measure/", "protocol/", "native/"),
}
# The runner is the one command that is no question to a study: it answers them.
EXCEPTIONS = {
    ("src/cli/cmd_runner.c", "native/native_runner.h"),
    ("src/cli/cmd_runner.c", "protocol/protocol.h"),
}
SILENT = "study"
PRINT = re.compile(r"(?<![\w.>])(v?f?printf|f?puts|f?putc|putchar|perror|be_plan_print)\s*\("
                   r"|\b(stdout|stderr)\b")
STATE = re.compile(r"^\s*static\s+(?!const\b|inline\b)[^(]*(\[[^(]*|;|=.*)$")
CLOCK = "src/core/clock.c"
SYSTEM_CLOCK = re.compile(
    r"(?<![\w.>])(clock_gettime|gettimeofday|time|timespec_get|clock|times|sleep|usleep|nanosleep|"
    r"clock_nanosleep|poll|ppoll|select|pselect|epoll_wait|alarm|setitimer|"
    r"pthread_cond_timedwait)\s*\(")
LIBRARY_LAYER = {"oneapi/": "backend", "dnnl": "backend"}


def layer_of(path):
    """The layer of src/…; "public" for include/breakeven; None for anything else."""
    if path.startswith("include/breakeven/"):
        return "public"
    if IMPLEMENTATION.match(path) or path.endswith(".gpu.c") and not path.endswith("_list.gpu.c"):
        return "backend"
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def find_header(root, name):
    for folder in ("src", "include"):
        if os.path.isfile(os.path.join(root, folder, name)):
            return folder + "/" + name
    return None


def check_project_include(root, path, name):
    """What is wrong with a file including the project's header "name", or None."""
    layer = layer_of(path)
    if name in GENERATED:
        return None
    header = find_header(root, name)
    if header is None:
        return f'"{name}" is in neither src/ nor include/: write the path from there'
    target = layer_of(header)
    if target == "public":
        return None
    if layer == "public":
        return f'include/breakeven may include only itself, found "{name}"'
    if target not in RANK:
        return f'"{name}" belongs to no layer: move it into one of {", ".join(LAYERS)}'
    for start in FORBIDDEN.get(layer, ()):
        if name.startswith(start) and (path, name) not in EXCEPTIONS:
            return f'layer {layer} promises to do without "{name}"'
    if RANK[target] > RANK[layer]:
        return f'layer {layer} may not include "{name}" of the higher layer {target}'
    return None


def check_library_include(layer, name):
    for prefix, allowed in LIBRARY_LAYER.items():
        if name.startswith(prefix) and layer != allowed:
            return f"<{name}> is for layer {allowed} alone, found in {layer}"
    return None


def check_clock(path, line):
    """What is wrong with a line that asks the system for the time, or None."""
    if path == CLOCK or path.endswith(".gpu.c") or line.lstrip().startswith(("*", "/*")):
        return None
    found = SYSTEM_CLOCK.search(re.sub(r'"(\\.|[^"\\])*"|/\*.*', "", line))
    return found and f"{found.group(1)}() is for {CLOCK} alone: call what core/clock.h offers"


def check_silence(layer, line):
    """What is wrong with a line of a layer that tells and keeps nothing by itself, or None."""
    if layer != SILENT or line.lstrip().startswith(("*", "/*")):
        return None
    code = re.sub(r"/\*.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line)).rstrip()
    found = PRINT.search(code)
    if found:
        return (f"src/{SILENT} prints nothing, found {found.group(1) or found.group(2)}: tell the "
                "study's watch, or give it back")
    if STATE.match(code):
        return (f"src/{SILENT} keeps nothing between two questions, found a static variable: put "
                "it into what the question owns")
    return None


def check_file(root, path):
    layer = layer_of(path)
    if layer != "public" and layer not in RANK:
        yield f"{path}:1: src/{layer or ''} is no layer: expected one of {', '.join(LAYERS)}"
        return
    for number, line in enumerate(read_lines(root, path), 1):
        for problem in (check_clock(path, line), check_silence(layer, line)):
            if problem:
                yield f"{path}:{number}: {problem}"
        found = INCLUDE.match(line)
        if not found:
            continue
        name = found.group(2)
        is_ours = found.group(1) == '"' or find_header(root, name) is not None
        problem = (check_project_include(root, path, name) if is_ours
                   else check_library_include(layer, name))
        if problem:
            yield f"{path}:{number}: {problem}"


def check_tree(root):
    sources = [f for f in list_files(root)
               if f.startswith(("src/", "include/")) and f.endswith((".c", ".h"))]
    if not sources:
        return [f"{root}: no C file below src/ or include/: is this the root of the source?"]
    return ([problem for path in sources for problem in check_file(root, path)]
            + list(find_circles(root, sources)) + list(find_parameters(root, sources)))


def main(arguments):
    root = arguments[0] if arguments else os.path.join(os.path.dirname(__file__), "..")
    problems = check_tree(root)
    print("\n".join(problems) if problems else "layers: clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
