#!/usr/bin/env python3
"""Checks the size of files and functions, so that each still fits into a reader's head.

    file       at most 600 lines (a warning from 500)
    function   at most 60 lines from its first line to its closing brace
    function   at most 6 parameters: more belong into a struct
    line       at most 100 columns

C functions are found by the form that clang-format gives them: a function's body, and nothing
else, opens with a brace alone in column 0 and ends with one.  Python is parsed.  There is no list
of exceptions, but kernels for GPUs (*.gpu.c) may have any number of parameters: OpenCL 1.2 allows
no pointers in a struct that is a parameter; and the fakes of drivers' functions (tests/fake_cuda,
tests/faulty_opencl, tests/fake_clblast) have those of the real ones, as has what a library calls
(CALLBACKS).

Usage: check_sizes.py [ROOT]        exit 0: clean, 1: findings, one per line
"""

import ast
import os
import re
import sys

from source_files import list_files, read_lines

FILE_LINES = 600
FILE_LINES_WARN = 500
FUNCTION_LINES = 60
PARAMETERS = 6
COLUMNS = 100
# What a library calls has the parameters that the library gives it.
CALLBACKS = {("src/serve/server.c", "take_request")}
FAKES = ("tests/fake_cuda/", "tests/fake_clblast/", "tests/faulty_opencl/")


def blank_comments_and_strings(text):
    """`text` with the content of comments and literals replaced by spaces, the lines kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def blank_directives(lines):
    """`lines` with preprocessor directives and their continuations blanked."""
    result, inside = [], False
    for line in lines:
        is_directive = inside or line.lstrip().startswith("#")
        inside = is_directive and line.endswith("\\")
        result.append("" if is_directive else line)
    return result


def signature_start(lines, brace):
    """The index of the first line of the function whose body opens at line `brace`."""
    first = brace
    while first > 0:
        above = lines[first - 1].rstrip()
        if not above.strip() or above.endswith((";", "}")):
            break
        first -= 1
    return first


def count_parameters(signature):
    """Parameters of a function's head: the commas outside inner brackets of its last list."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*$", "", signature.strip(), flags=re.S).strip()
    depth, end = 0, len(head) - 1
    if end < 0 or head[end] != ")":
        return 0
    commas = 0
    for at in range(end, -1, -1):
        if head[at] in ")]}":
            depth += 1
        elif head[at] in "([{":
            depth -= 1
        elif head[at] == "," and depth == 1:
            commas += 1
        if depth == 0:
            inner = head[at + 1:end].strip()
            return 0 if inner in ("", "void") else commas + 1
    return 0


def c_functions(text):
    """(name, first line, number of lines, parameters) of each function of C source `text`."""
    lines = blank_directives(blank_comments_and_strings(text).split("\n"))
    brace = None
    for index, line in enumerate(lines):
        if line.rstrip() == "{":
            brace = index
        elif line.startswith("}") and brace is not None:
            first = signature_start(lines, brace)
            signature = "\n".join(lines[first:brace])
            name = re.search(r"(\w+)\s*\(", signature)
            yield (name.group(1) if name else "?", first + 1, index - first + 1,
                   count_parameters(signature))
            brace = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [a.arg for a in node.args.posonlyargs + node.args.args + node.args.kwonlyargs]
            count = len([n for n in names if n not in ("self", "cls")])
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1, count


def check_functions(path, text):
    try:
        functions = list(python_functions(text) if path.endswith(".py") else c_functions(text))
    except SyntaxError as error:
        yield f"{path}:{error.lineno}: cannot be parsed: {error.msg}"
        return
    for name, line, length, parameters in functions:
        if length > FUNCTION_LINES:
            yield f"{path}:{line}: function {name} has {length} lines, at most {FUNCTION_LINES}"
        given = (path.endswith(".gpu.c") or path.startswith(FAKES)
                 or (path, name) in CALLBACKS)
        if parameters > PARAMETERS and not given:
            yield (f"{path}:{line}: function {name} has {parameters} parameters, "
                   f"at most {PARAMETERS}: put them into a struct")


def check_lines(path, lines):
    count = len(lines) - 1 if lines and lines[-1] == "" else len(lines)
    if count > FILE_LINES:
        yield f"{path}:1: {count} lines, at most {FILE_LINES}: split it by idea"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, at most {COLUMNS}"


def check_tree(root):
    """(findings, warnings) for all sources below `root`."""
    findings, warnings = [], []
    sources = [f for f in list_files(root) if f.endswith((".c", ".h", ".py", ".sh", ".build"))]
    if not sources:
        findings.append(f"{root}: no source file: is this the root of the source?")
    for path in sources:
        lines = read_lines(root, path)
        findings += check_lines(path, lines)
        if path.endswith((".c", ".h", ".py")):
            findings += check_functions(path, "\n".join(lines))
        if FILE_LINES_WARN < len(lines) - 1 <= FILE_LINES:
            warnings.append(f"{path}:1: warning: {len(lines) - 1} lines, the limit is {FILE_LINES}")
    return findings, warnings


def main(arguments):
    root = arguments[0] if arguments else os.path.join(os.path.dirname(__file__), "..")
    findings, warnings = check_tree(root)
    for line in warnings + findings:
        print(line)
    if not findings:
        print("sizes: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
