#!/usr/bin/env python3
"""Make a C file that holds the text of a kernel file: embed.py NAME PATH INPUT OUTPUT

defines `const gpu_source gpu_source_NAME` with PATH for messages.  The text is written as numbers,
because a string literal may only be so long."""

import sys


def main():
    name, path, source, output = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    lines = []
    for i in range(0, len(data), 20):
        lines.append(",".join(str(byte - (byte > 127) * 256) for byte in data[i : i + 20]) + ",")
    with open(output, "w", encoding="ascii") as file:
        file.write('#include "backend/gpu/gpu.h"\n\n')
        file.write("static const char text[] = {\n%s\n0};\n\n" % "\n".join(lines))
        file.write('const gpu_source gpu_source_%s = {"%s", text};\n' % (name, path))


if __name__ == "__main__":
    main()
