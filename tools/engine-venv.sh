# Sourced by tensorflow-venv.sh and mlx-venv.sh, which make a Python environment from PyPI for an
# engine that Debian does not have, in the folder where breakeven looks for it:
# $XDG_CACHE_HOME/breakeven/NAME, else ~/.cache/breakeven/NAME.
# shellcheck shell=sh

fail() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$1" >&2
    exit 1
}

# venv_find NAME: sets `folder`, and `found`: what was installed there, or nothing.
venv_find() {
    case ${XDG_CACHE_HOME:-} in
    /*) cache=$XDG_CACHE_HOME ;;
    *) cache=${HOME:?expected it to name the folder of the user}/.cache ;;
    esac
    folder=$cache/breakeven/$1
    found=$(cat "$folder/breakeven-stamp" 2>/dev/null || true)
}

# venv_make TITLE MODULE GROUP PACKAGE...: makes the environment anew in `folder`, with the packages
# as pip names them; GROUP is that of install-deps.sh with what this needs.
venv_make() {
    title=$1 module=$2 group=$3
    shift 3
    # What the caller has set for other Pythons is not for this one, and nothing is imported from
    # the folder that the caller is in.
    unset PYTHONHOME PYTHONPATH PYTHONINSPECT PYTHONOPTIMIZE PYTHONWARNINGS PYTHONSAFEPATH
    cd /

    # Debian's python, for which install-deps.sh installs venv.
    python=python3
    [ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
    echo "$(basename "$0" .sh): installing $1 in $folder (some minutes the first time)" >&2
    mkdir -p "$cache/breakeven"
    part=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM
    "$python" -m venv "$part" >&2 ||
        fail "'$python -m venv' failed: run tools/install-deps.sh $group (Debian: python3-venv)"
    "$part/bin/python3" -m pip --disable-pip-version-check --no-input install -q --no-cache-dir \
        --retries 5 --only-binary :all: "$@" >&2 ||
        fail "pip could not install $1: expected a network, and a Python 3.10 to 3.13
(found $("$python" --version 2>&1)); mend what it says above, then run this again"
    TF_CPP_MIN_LOG_LEVEL=2 "$part/bin/python3" -c "import $module" 2>"$part/log" ||
        fail "$title was installed but cannot be imported: $(tail -n 1 "$part/log")"
    printf '%s\n' "$*" >"$part/breakeven-stamp"
    # One that is used meanwhile keeps its open files.
    rm -rf "$folder"
    mv "$part" "$folder"
}
