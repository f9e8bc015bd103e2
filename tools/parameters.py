"""The words between kernel files and their host sides.

A kernel file NAME.gpu.c lists at its top what it wants to be given: PARAMETERS(ROWS WIDTH X_T).
The runtime refuses a file that is not given one of them (src/backend/gpu/gpu_call.c); what it
cannot see is told here: a file that uses what only another one lists, a name that is listed and not
used, and a word of a host side that no file lists.

A text NAME_list.gpu.c has formulas for the files behind it, and lists for them what it is given.
"""

import re

from source_files import read_lines

LIST = re.compile(r"^PARAMETERS\(([^)]*)\)", re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
DEFINED = re.compile(r"#define\s+(\w+)(?:\(([^)]*)\))?")
WORD = re.compile(r"\b[A-Z][A-Z0-9_]*\b")
HOST = re.compile(r"^src/ops/.+_(gpu|cudnn|cublaslt|clblast)\.[ch]$")
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
GIVEN = re.compile(r"(?:^|[ u])([A-Z][A-Z0-9_]*)(?:\(\w+\))?=")
TYPE = re.compile(r'gpu_type_words\("([A-Z]+)"')


class Kernels:
    """What a kernel file lists, uses and defines, its macros' parameters included."""

    def __init__(self, text):
        code = COMMENT.sub("", text)
        self.listed = [name for group in LIST.findall(code) for name in group.split()]
        code = LIST.sub("", code)
        self.own = set()
        for name, parameters in DEFINED.findall(code):
            self.own |= {name, *re.findall(r"\w+", parameters)}
        self.used = set(WORD.findall(code))


def find_parameters(root, sources):
    """Problems of the checkout's kernel files and host sides, a line each."""
    texts = {path: "\n".join(read_lines(root, path)) for path in sources
             if path.endswith(".gpu.c") or HOST.match(path)}
    files = {path: Kernels(text) for path, text in texts.items() if path.endswith(".gpu.c")}
    for_others = {name for path, file in files.items() if path.endswith("_list.gpu.c")
                  for name in file.listed}
    listed = {name for file in files.values() for name in file.listed}
    # LOAD(WIDE, …) names memory by WIDE_TYPE, which a file may define.
    memory = {name[:-len("_TYPE")] for file in files.values() for name in file.own
              if name.endswith("_TYPE")}
    for path, file in files.items():
        for name in sorted((file.used & listed) - file.own - memory - for_others):
            if name not in file.listed:
                yield f"{path}:1: expected {name} among its PARAMETERS, for it uses it"
        for name in file.listed:
            if name not in file.used and name not in for_others and name[:-2] not in file.used:
                yield f"{path}:1: {name} is among its PARAMETERS, and nothing uses it: take it out"
    for path, text in texts.items():
        if path in files:
            continue
        given = [name for string in STRING.findall(text) for name in GIVEN.findall(string)]
        given += [name + "_T" for name in TYPE.findall(text)]
        for name in sorted(set(given) - listed):
            yield f"{path}:1: {name} is given, and no kernel file has it among its PARAMETERS"
