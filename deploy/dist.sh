#!/usr/bin/env bash
# Builds both programs as they are shipped: one file each, linked statically, that runs on any Linux of its processor.
#
#   deploy/dist.sh [x86_64|aarch64] [--quick]      into target/dist-x86_64 or target/dist-aarch64
#
# For a foreign processor it needs gcc-aarch64-linux-gnu and libc6-dev-arm64-cross (names of Debian), and the standard library:
# `rustup target add aarch64-unknown-linux-gnu`, or Debian's rustc-web, cargo-web and rust-web-src, which build it.
# --quick builds to be looked at and thrown away: hardly optimized.
set -euo pipefail
cd "$(dirname "$0")/.."

machine=x86_64 quick=
for argument; do
  case $argument in
    x86_64 | aarch64) machine=$argument ;;
    --quick) quick=1 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
done
target=$machine-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-$PWD/target}
out=$folder/dist-$machine
cargo=(cargo)
variable=CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')
# Where the C library is linked in, the crate getrandom does not find its function by itself, and would need /dev.
export "${variable}_RUSTFLAGS=-C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\""
if [ "$machine" != "$(uname -m)" ]; then
  export "${variable}_LINKER=$machine-linux-gnu-gcc"
  if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*" >/dev/null; then
    # Another compiler's results stand apart, or the two throw each other's away.
    folder=$folder/$machine
    export CARGO_TARGET_DIR=$folder RUSTC_BOOTSTRAP=1 PATH=/usr/bin:$PATH
    cargo=(cargo '-Zbuild-std=std,panic_abort')
  fi
fi
build() { # profile, program
  "${cargo[@]}" build --locked --profile "$1" --target "$target" -p "$2" --bin "$2"
  install -D -m 0755 "$folder/$target/$1/$2" "$out/$2"
}
case $quick in
  1) build emulated la-gateway && build emulated agent-lite ;;
  *) build release la-gateway && build dist agent-lite ;;
esac
