"""Circles between the C files of a folder: a.c calls what b.c defines, and b.c, over any number of
files, what a.c defines.  Such files can only be understood together: what both need belongs into a
third, or below both.

Who uses what is read from the text, by the names that a file defines without `static` at the start
of a line; names in comments and strings are left out, as are those that a list expands to (a table
of all commands calls none of them).  check_layers.py reports what is found.
"""

import collections
import os
import re

from source_files import read_lines

FUNCTION = re.compile(r"^(?!static\b|typedef\b|return\b)[A-Za-z_][\w *]*?\b(\w+)\([^;{}]*\)\n\{",
                      re.M)
VARIABLE = re.compile(r"^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w *]*?\b(\w+)(?:\[[^\]]*\])* = ",
                      re.M)
OWN = re.compile(r"^static [^;{}()=\[]*?\b(\w+)(?:\(|\[| =|;)", re.M)
NO_CODE = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def find_uses(root, files):
    """{file: {other file of its folder: the names that it uses of it}}"""
    code = {f: NO_CODE.sub("", "\n".join(read_lines(root, f))) for f in files}
    defined = {(os.path.dirname(f), name): f for f, text in code.items()
               for name in FUNCTION.findall(text) + VARIABLE.findall(text)}
    uses = {f: collections.defaultdict(list) for f in files}
    for file, text in code.items():
        for name in sorted(set(re.findall(r"\w+", text)) - set(OWN.findall(text))):
            other = defined.get((os.path.dirname(file), name), file)
            if other != file:
                uses[file][other].append(name)
    return uses


def way_back(uses, start):
    """The shortest way from a file over others to itself, as a list that ends with it, or None."""
    before, queue = {}, [start]
    for file in queue:
        for other in sorted(uses[file]):
            if other in before:
                continue
            before[other] = file
            if other != start:
                queue.append(other)
                continue
            way = [start]
            while len(way) == 1 or way[-1] != start:
                way.append(before[way[-1]])
            return way[::-1]
    return None


def find_circles(root, files):
    """A problem for each circle, told once, at the first of its files."""
    uses = find_uses(root, [f for f in files if f.endswith(".c") and not f.endswith(".gpu.c")])
    told = set()
    for file in sorted(uses):
        way = way_back(uses, file)
        if not way or frozenset(way) in told:
            continue
        told.add(frozenset(way))
        steps = [f"{os.path.basename(a)} uses {uses[a][b][0]} of {os.path.basename(b)}"
                 for a, b in zip(way, way[1:])]
        yield f"{file}:1: a circle: {', '.join(steps)}; move what both need into a file below both"
