#!/bin/sh
# Call records in a PostgreSQL of their own, which lives as long as this script: `make test-postgresql`.
set -eu
for folder in /usr/lib/postgresql/*/bin; do PATH="$PATH:$folder"; done
command -v initdb >/dev/null || { echo "PostgreSQL's initdb is not installed (Debian: apt install postgresql)"; exit 1; }
cargo=${CARGO:-cargo}
folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
as=""
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
# Starts and stops the server, and asks it; the tests do so too. Its own folder holds its socket: no port is taken.
cat >"$folder/ctl" <<SCRIPT
#!/bin/sh
set -eu
PATH='$PATH'
cd '$folder'
case "\$1" in
  start) exec $as pg_ctl --pgdata='$folder/data' --log='$folder/log' --wait \\
    --options="-c listen_addresses='' -c unix_socket_directories='$folder' -c fsync=off" start >/dev/null 2>&1 ;;
  stop) exec $as pg_ctl --pgdata='$folder/data' --mode=immediate --wait stop >/dev/null ;;
  ask) exec psql --no-psqlrc --quiet --tuples-only --no-align --host='$folder' --username=callbox --command="\$2" postgres ;;
esac
SCRIPT
chmod 755 "$folder/ctl"
(cd "$folder" && $as initdb --pgdata="$folder/data" --username=callbox --auth=trust >/dev/null)
trap '"$folder/ctl" stop || true; rm -rf "$folder"' EXIT
"$folder/ctl" start
export CALLBOX_TEST_POSTGRESQL="postgresql://callbox@/postgres?host=$folder" CALLBOX_TEST_POSTGRESQL_CTL="$folder/ctl"
$cargo test -p callbox --locked --features postgresql --lib record::postgresql -- --include-ignored
# The program in the target folder stays as everybody else builds it.
$cargo build -p callbox --locked --features postgresql --bins
cp "${CARGO_TARGET_DIR:-target}/debug/callbox" "$folder/callbox"
$cargo build -p callbox --locked --bins
CALLBOX_BIN="$folder/callbox" $cargo test -p callbox-tests --locked --test postgresql -- --include-ignored
