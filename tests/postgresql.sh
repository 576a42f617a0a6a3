#!/bin/sh
# Call records in a PostgreSQL of their own, which lives as long as this script: `make test-postgresql`.
set -eu
for folder in /usr/lib/postgresql/*/bin; do PATH="$PATH:$folder"; done
command -v initdb >/dev/null || { echo "PostgreSQL's initdb is not installed (Debian: apt install postgresql)"; exit 1; }
folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
as=""
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
# Its own folder holds its socket: no port is taken.
cd "$folder"
$as initdb --pgdata="$folder/data" --username=callbox --auth=trust >/dev/null
$as pg_ctl --pgdata="$folder/data" --log="$folder/log" --wait \
  --options="-c listen_addresses='' -c unix_socket_directories='$folder' -c fsync=off" start >/dev/null
trap '$as pg_ctl --pgdata="$folder/data" --mode=immediate stop >/dev/null; rm -rf "$folder"' EXIT
cd - >/dev/null
export CALLBOX_TEST_POSTGRESQL="postgresql://callbox@/postgres?host=$folder"
${CARGO:-cargo} test -p callbox --features postgresql --lib record::postgresql -- --include-ignored
