#!/usr/bin/env python3
"""Packs a wheel (PEP 427) for tools/wheel.sh: wheel.py SOURCE PROGRAM FOLDER.

In it lie python/breakeven, and below that bin/breakeven, lib with all that the program is linked to
but the C and C++ run-time libraries, which every Linux has (PEP 600), and share/breakeven/runners.
Each library is looked for beside the one that wants it.
"""
import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OF_THE_SYSTEM = re.compile(r"(linux-vdso|ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libresolv"
                           r"|libutil|libgcc_s|libstdc\+\+)\.so")
LEAST_PYTHON = "3.9"
WHEN = (2020, 1, 1, 0, 0, 0)  # of all files: the same content gives the same wheel


def libraries(program):
    """Paths of the libraries to bring, by ldd."""
    found = []
    for line in subprocess.run(["ldd", program], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines():
        name, _, place = line.strip().partition(" => ")
        if OF_THE_SYSTEM.match(os.path.basename(name)):
            continue
        if not place.startswith("/"):
            sys.exit(f"wheel: expected {name} of {program} to be found, found '{line.strip()}'; "
                     "install it")
        found.append(Path(place.split(" (")[0]))
    return found


def licence(library):
    """Debian's copyright file of the package that a library comes from, or None elsewhere."""
    for path in (library, library.resolve(), Path("/usr") / str(library).lstrip("/")):
        done = subprocess.run(["dpkg", "-S", path], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return Path("/usr/share/doc") / done.stdout.split(":")[0] / "copyright"
    return None


def look_beside(path, where):
    subprocess.run(["patchelf", "--set-rpath", where, path], check=True)


def lay_out(source, program, root):
    """The tree of the wheel without its description."""
    package = root / "breakeven"
    shutil.copytree(source / "python" / "breakeven", package,
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(source / "runners", package / "share" / "breakeven" / "runners",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("bin", "lib"):
        (package / folder).mkdir()
    shutil.copy2(program, package / "bin" / "breakeven")
    look_beside(package / "bin" / "breakeven", "$ORIGIN/../lib")
    for library in libraries(program):
        copy = package / "lib" / library.name
        shutil.copy2(library.resolve(), copy)
        copy.chmod(0o755)
        look_beside(copy, "$ORIGIN")


def describe(source, program, root, tag):
    """The folder *.dist-info but its RECORD."""
    version = re.search(r"version: '([^']+)'", (source / "meson.build").read_text()).group(1)
    info = root / f"breakeven-{version}.dist-info"
    (info / "licenses").mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: breakeven\nVersion: {version}\n"
        "Summary: which device a model should train on, why, and where the answer flips\n"
        f"License: Apache-2.0\nRequires-Python: >={LEAST_PYTHON}\n"
        "Description-Content-Type: text/markdown\n\n" + (source / "README.md").read_text())
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: tools/wheel.py\n"
                                f"Root-Is-Purelib: false\nTag: py3-none-{tag}\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nbreakeven = breakeven.program:main\n")
    shutil.copy2(source / "LICENSE", info / "licenses" / "LICENSE")
    for library in libraries(program):
        text = licence(library)
        if text and text.exists():
            shutil.copy2(text, info / "licenses" / f"{library.name}.txt")
    return info


def record_line(root, path):
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=")
    return f"{path.relative_to(root)},sha256={digest.decode()},{path.stat().st_size}\n"


def pack(root, info, wheel):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    record = info / "RECORD"
    record.write_text("".join(record_line(root, path) for path in files)
                      + f"{record.relative_to(root)},,\n")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*files, record]:
            entry = zipfile.ZipInfo(str(path.relative_to(root)), WHEN)
            entry.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def main(source, program, out):
    name, libc = platform.libc_ver()
    if name != "glibc":
        sys.exit(f"wheel: expected a system with glibc, found {name or 'another C library'}; build "
                 "from source there (make)")
    tag = f"manylinux_{libc.replace('.', '_')}_x86_64"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(Path(source), program, root)
        info = describe(Path(source), program, root, tag)
        version = info.name[len("breakeven-"):-len(".dist-info")]
        wheel = Path(out) / f"breakeven-{version}-py3-none-{tag}.whl"
        pack(root, info, wheel)
    print(wheel)


if __name__ == "__main__":
    main(*sys.argv[1:])
