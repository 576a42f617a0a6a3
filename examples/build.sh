#!/bin/sh
# Builds every example flow into examples/target/flows/NAME.wasm.
#
#   examples/build.sh [--verbose]
#
# Any of these will do, and the first that is there is used:
#   1. a Rust toolchain with the target wasm32-unknown-unknown,
#   2. rustup, which can fetch that target,
#   3. Debian's own Rust (packages rustc-web and rust-web-src), unpacked into examples/target/toolchain and not installed.
#      It builds the standard library from source with the cargo and the linker that are there.
# A second run with nothing changed does nothing. Quiet unless something goes wrong.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here"
target=wasm32-unknown-unknown
# The flows' own target directory, whatever the caller uses for the host: callbox.toml names it.
export CARGO_TARGET_DIR="$here/target"
toolchain=$CARGO_TARGET_DIR/toolchain
flows=$CARGO_TARGET_DIR/flows
quiet=--quiet
case "${1-}" in
    '') ;;
    --verbose) quiet='' ;;
    *) echo "usage: $0 [--verbose]" >&2; exit 2 ;;
esac

say() { [ -n "$quiet" ] || echo "$*"; }
fail() { echo "build.sh: $*" >&2; exit 1; }

command -v cargo >/dev/null 2>&1 || fail "cargo is not on the PATH: install Rust 1.95 or newer"
mkdir -p "$flows" || fail "cannot write to $flows"

# Is the target's standard library there? rustc prints the folder whether or not it exists.
has_target() {
    libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) && ls "$libdir"/libstd-*.rlib >/dev/null 2>&1
}

# rustup may hang without a network, and a refusal is remembered for a day: the try costs time on every build.
try_rustup() {
    command -v rustup >/dev/null 2>&1 || return 1
    refused=$CARGO_TARGET_DIR/rustup-refused
    [ -z "$(find "$refused" -mmin -1440 2>/dev/null)" ] || return 1
    say "asking rustup for $target"
    if timeout 120 rustup target add "$target" >/dev/null 2>&1 && has_target; then
        rm -f "$refused"
    else
        : > "$refused"
        return 1
    fi
}

# Unpacks into a folder beside the final one and renames, so that a broken-off run leaves nothing half done.
unpack_debian() {
    [ -x "$toolchain/rustc" ] && return 0
    for tool in apt-get apt-cache dpkg; do command -v $tool >/dev/null 2>&1 || return 1; done
    say "unpacking Debian's Rust into $toolchain (once, about a minute)"
    fresh=$CARGO_TARGET_DIR/toolchain.$$
    trap 'rm -rf "$fresh"' EXIT
    trap 'exit 1' HUP INT TERM
    mkdir -p "$fresh/debs"
    (
        cd "$fresh/debs"
        # apt's own user cannot write here; as root apt would drop to it and complain, so it stays root.
        download() { apt-get -o APT::Sandbox::User=root -q download "$@" >../apt.log 2>&1; }
        needed() { apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: \\($2\\)\$/\\1/p" | head -n 1; }
        packages() {
            std=$(needed libstd-rust-web-dev 'libstd-rust-web-[0-9].*')
            [ -n "$std" ] || return 1
            llvm=$(needed "$std" 'libllvm[0-9.]*')
            echo "rustc-web rust-web-src libstd-rust-web-dev $std $llvm"
        }
        # Package lists may be missing or old; only root can renew them.
        list=$(packages) && download $list || {
            [ "$(id -u)" = 0 ] || exit 1
            rm -f ./*.deb
            apt-get -q update >../apt.log 2>&1 && list=$(packages) && download $list
        }
    ) || { [ ! -s "$fresh/apt.log" ] || tail -n 5 "$fresh/apt.log" >&2; return 1; }
    for package in "$fresh"/debs/*.deb; do dpkg -x "$package" "$fresh/root" || return 1; done
    rm -rf "$fresh/debs"
    cat > "$fresh/rustc" <<'SCRIPT'
#!/bin/sh
root=$(dirname -- "$0")/root/usr
for libs in "$root"/lib/*-linux-gnu; do LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
export LD_LIBRARY_PATH
exec "$root/bin/rustc" "$@"
SCRIPT
    chmod +x "$fresh/rustc"
    "$fresh/rustc" --version >/dev/null 2>&1 || return 1
    rm -rf "$toolchain"
    mv "$fresh" "$toolchain"
    trap - EXIT HUP INT TERM
}

# The linker for wasm: part of rustup's toolchains, or LLVM's.
find_linker() {
    for linker in "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld; do
        [ -x "$linker" ] && { echo "$linker"; return; }
    done
    command -v rust-lld || command -v wasm-ld || ls /usr/bin/wasm-ld-* 2>/dev/null | tail -n 1
}

set -- build $quiet --release --locked --target "$target"
if has_target || try_rustup; then
    say "building with $(rustc --version)"
elif unpack_debian; then
    linker=$(find_linker)
    [ -n "$linker" ] || fail "no linker for wasm: neither rust-lld of a rustup toolchain nor wasm-ld (Debian: lld) is there"
    # Building std from source is a nightly feature; RUSTC_BOOTSTRAP allows it to this compiler.
    export RUSTC="$toolchain/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
    # Wrappers such as sccache, and flags meant for the host's build, do not belong to this compiler.
    unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS 2>/dev/null || true
    set -- "$@" -Zbuild-std=std,panic_abort
    say "building with Debian's $("$RUSTC" --version)"
else
    fail "this machine cannot build for $target. Do one of:
  rustup target add $target
  on Debian, as root: apt-get update   (then run this again: it unpacks Debian's own Rust here)
  make a toolchain with that target known as rustc on the PATH"
fi

cargo "$@" || fail "cargo failed; run $0 --verbose to see more"

# One name for a flow everywhere: that of its folder. (A library's file has underscores.)
for manifest in ./*/Cargo.toml seed/*/Cargo.toml hostile/*/Cargo.toml; do
    name=$(basename "$(dirname "$manifest")")
    built=$CARGO_TARGET_DIR/$target/release/$(echo "$name" | tr - _).wasm
    [ -f "$built" ] || fail "$manifest gave no $built"
    # Untouched when equal: a host that watches the folder sees only real changes. Renamed into place: it never sees half a file.
    cmp -s "$built" "$flows/$name.wasm" && continue
    cp "$built" "$flows/.$name.$$"
    mv "$flows/.$name.$$" "$flows/$name.wasm"
    say "$flows/$name.wasm"
done
