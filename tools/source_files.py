"""The files that the checkers of this folder look at: what git tracks or would track.

Owns nothing; outside a git checkout it walks the folder and leaves out the build folders.
"""

import os
import subprocess

SKIPPED = (".git", "build", "__pycache__")


def list_files(root):
    """All files of the checkout below `root`, as paths relative to it, sorted."""
    git = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if git.returncode == 0:
        names = git.stdout.decode("utf-8", "surrogateescape").split("\0")
    else:
        names = walk_files(root)
    return sorted({n for n in names if n and os.path.isfile(os.path.join(root, n))})


def walk_files(root):
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith(SKIPPED)]
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), root)


def read_lines(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as file:
        return file.read().split("\n")
