#!/usr/bin/env python3
"""Make a C file that holds the text of another file.

    embed.py NAME PATH INPUT OUTPUT     a kernel file: `const gpu_source gpu_source_NAME` with PATH
                                        for messages
    embed.py --asset NAME INPUT OUTPUT  a file of the page: a header with `asset_NAME`

The text is written as numbers, because a string literal may only be so long."""

import sys


def numbers(source):
    with open(source, "rb") as file:
        data = file.read()
    lines = []
    for i in range(0, len(data), 20):
        lines.append(",".join(str(byte - (byte > 127) * 256) for byte in data[i : i + 20]) + ",")
    return "{\n%s\n0};\n" % "\n".join(lines)


def main():
    name, path, source, output = sys.argv[1:]
    with open(output, "w", encoding="ascii") as file:
        if name == "--asset":
            file.write("static const char asset_%s[] = " % path + numbers(source))
            return
        file.write('#include "backend/gpu/gpu.h"\n\n')
        file.write("static const char text[] = " + numbers(source) + "\n")
        file.write('const gpu_source gpu_source_%s = {"%s", text};\n' % (name, path))


if __name__ == "__main__":
    main()
