#!/bin/sh
# Checks (or with --fix makes) the form of all C sources by the repository's .clang-format.
# The form differs between versions of clang-format, so version 14 decides.
#
# Usage: check_format.sh [--fix] [ROOT]        exit 0: clean, 1: findings
set -u
mode=check
if [ "${1:-}" = --fix ]; then
    mode=fix
    shift
fi
cd "${1:-$(dirname "$0")/..}" || exit 1

formatter=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "check_format: expected clang-format 14, found $(clang-format --version 2>/dev/null ||
        echo none): run tools/install-deps.sh check" >&2
    exit 1
fi

files=$(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
done)
if [ -z "$files" ]; then
    echo "check_format: no C file in $PWD: is this the root of the source?" >&2
    exit 1
fi
format() { printf '%s\n' "$files" | xargs "$formatter" --style=file "$@" || exit 1; }
if [ "$mode" = fix ]; then
    # Long macros take it several passes until nothing changes.
    for _ in 1 2 3 4 5; do
        format -i
    done
else
    format --dry-run -Werror
    echo 'format: clean'
fi
