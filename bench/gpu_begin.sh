# What the scripts share that measure on a machine with an NVIDIA GPU: they read it (.) with the
# folder that gpu_pack.sh packed as their first argument.  It unpacks the program and leaves
# $breakeven, $work, $OUT, and say and largest; at the end what lies in $OUT becomes logs.tar.gz.
set -u
folder=$(cd "${1:-$(dirname "$0")}" && pwd)
OUT=${OUT:-$(mktemp -d)}
work=$(mktemp -d)
python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
    "$folder/breakeven.tar.xz" "$work" || exit 1
for library in $(ldd "$work/bin/breakeven" | awk '/not found/{print $1}' | sort -u); do
    cp "$work/spare/$library" "$work/bin/lib/"
done
[ -d "$folder/data" ] && export BREAKEVEN_DATA="$folder/data"
export BREAKEVEN_PYTHON="${BREAKEVEN_PYTHON:-$(command -v python3)}"
export XDG_CACHE_HOME="$work/cache" PYTHONDONTWRITEBYTECODE=1
breakeven="$work/bin/breakeven"
failed=0
# One file comes back, however many there are.
trap 'tar -C "$OUT" -czf "$work/logs.tar.gz" . && find "$OUT" -type f -delete &&
    mv "$work/logs.tar.gz" "$OUT/"; rm -rf "$work"' EXIT

# say PASS|FAIL TEXT
say() {
    [ "$1" = PASS ] || failed=1
    printf '%-4s %s\n' "$@"
}
# largest FILE: the largest error of a parity's records, and where.
largest() {
    python3 - "$1" <<'P'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
rows = [r for r in rows if isinstance(r.get("error"), float)]
worst = max(rows, key=lambda r: r["error"], default=None)
print(f'{worst["error"]:.2g} at {worst.get("where", worst.get("quantity"))}' if worst else "no row")
P
}

