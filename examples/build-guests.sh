#!/bin/sh
# Builds the example flows in Python and JavaScript into examples/target/flows/python.wasm and javascript.wasm.
#
#   examples/build-guests.sh [python] [javascript]      both, if none is named
#
# Their tools come from PyPI and npm, in the versions that requirements.txt and package-lock.json pin, into
# examples/target/guests; nothing is installed elsewhere. Python 3.9 or newer with venv, and Node 18 or newer with npm, must
# be there: without them a flow is left out with a message, and with CI=true that is a failure. A second run with
# nothing changed does nothing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
wit=$here/../wit
guests=$here/target/guests
flows=$here/target/flows
mkdir -p "$guests" "$flows"
# What the tools download may be there already, and what they say is worth reading only when they fail.
log=$guests/log
status=0

# Says why a flow is not built.
without() {
    echo "build-guests.sh: $1.wasm is not built: $2" >&2
    rm -f "$flows/$1.wasm"
    [ "${CI:-}" != true ] || status=1
}

# Is the flow newer than everything that it is made of?
fresh() {
    [ -f "$flows/$1.wasm" ] || return 1
    [ -z "$(find "$here/$1" "$wit" "$here/build-guests.sh" -newer "$flows/$1.wasm" -type f | head -n 1)" ]
}

# Renamed into place: a host that watches the folder never sees half a file.
place() {
    mv "$1" "$flows/.$2.$$"
    mv "$flows/.$2.$$" "$flows/$2.wasm"
}

python() {
    fresh python && return
    command -v python3 >/dev/null 2>&1 || { without python "python3 is not here"; return; }
    venv=$guests/python
    if ! cmp -s "$here/python/requirements.txt" "$venv/requirements.txt"; then
        rm -rf "$venv"
        {
            python3 -m venv "$venv" &&
                "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
                    -r "$here/python/requirements.txt"
        } >"$log" 2>&1 || { tail -n 5 "$log" >&2; without python "its tools cannot be installed"; return; }
        cp "$here/python/requirements.txt" "$venv/requirements.txt"
    fi
    # Whatever the environment holds while the flow is built would be in it for good: Python reads it once, at its start.
    # From a copy, because it leaves compiled files beside what it reads.
    mkdir -p "$guests/python-source"
    cp "$here/python/flow.py" "$guests/python-source"
    env -i PATH="$PATH" HOME="${HOME:-/}" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/componentize-py" -d "$wit" -w call-flow componentize -p "$guests/python-source" flow -o "$guests/python.wasm" \
        >"$log" 2>&1 || { tail -n 20 "$log" >&2; without python "componentize-py failed"; return; }
    place "$guests/python.wasm" python
}

javascript() {
    fresh javascript && return
    command -v npm >/dev/null 2>&1 || { without javascript "npm is not here"; return; }
    work=$guests/javascript
    mkdir -p "$work"
    if ! cmp -s "$here/javascript/package-lock.json" "$work/installed.json"; then
        rm -rf "$work/node_modules"
        cp "$here/javascript/package.json" "$here/javascript/package-lock.json" "$here/javascript/.npmrc" "$work"
        # Not `npm ci`, which insists on packages for other platforms that were never published.
        (cd "$work" && npm install --no-save --loglevel=error) >"$log" 2>&1 ||
            { tail -n 5 "$log" >&2; without javascript "its tools cannot be installed"; return; }
        cp "$here/javascript/package-lock.json" "$work/installed.json"
    fi
    rm -rf "$work/wit"
    mkdir -p "$work/wit/deps/callbox-flow"
    cp "$here"/javascript/wit/*.wit "$work/wit"
    cp "$wit"/*.wit "$work/wit/deps/callbox-flow"
    "$work/node_modules/.bin/componentize-js" "$here/javascript/flow.js" --wit "$work/wit" --world-name flow \
        --disable http fetch-event --out "$guests/javascript.wasm" \
        >"$log" 2>&1 || { tail -n 20 "$log" >&2; without javascript "componentize-js failed"; return; }
    place "$guests/javascript.wasm" javascript
}

[ $# -gt 0 ] || set -- python javascript
for flow in "$@"; do
    case $flow in
        python | javascript) "$flow" ;;
        *) echo "usage: $0 [python] [javascript]" >&2; exit 2 ;;
    esac
done
exit $status
