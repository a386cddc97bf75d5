#!/usr/bin/env bash
# Builds both programs as they are shipped: one file each, linked statically, that runs on any Linux of its processor.
#
#   deploy/dist.sh [x86_64|aarch64] [--quick] [PROGRAM]      into target/dist-x86_64 or target/dist-aarch64
#
# PROGRAM is la-gateway or agent-lite; without it, both. The same sources, compiler and C compiler make the same bytes in any
# folder: deploy/reproduce tries it. With cargo-auditable (`cargo install --locked cargo-auditable`) the programs carry the list
# of their dependencies, and an SBOM made of it (CycloneDX) stands beside each; deploy/sbom reads it of any copy.
#
# For a foreign processor it needs gcc-aarch64-linux-gnu and libc6-dev-arm64-cross (names of Debian), and the standard library:
# `rustup target add aarch64-unknown-linux-gnu`, or Debian's rustc-web, cargo-web and rust-web-src, which build it.
# --quick builds to be looked at and thrown away: hardly optimized.
set -euo pipefail
cd "$(dirname "$0")/.."

machine=x86_64 quick='' programs=()
for argument; do
  case $argument in
    x86_64 | aarch64) machine=$argument ;;
    --quick) quick=1 ;;
    la-gateway | agent-lite) programs+=("$argument") ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
done
target=$machine-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-$PWD/target}
out=$folder/dist-$machine
cargo=(cargo) build_std=()
[ "${#programs[@]}" -gt 0 ] || programs=(la-gateway agent-lite)
variable=CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')
home=${CARGO_HOME:-$HOME/.cargo}
case $PWD$home in
  *[[:space:]]*) printf '%s\n' "the path of this folder, or of cargo's, has a space in it: $PWD, $home" >&2; exit 78 ;;
esac
# Where the C library is linked in, the crate getrandom does not find its function by itself, and would need /dev.
flags="-C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\""
# Nothing of this machine stands in the programs: neither folders nor times.
export "${variable}_RUSTFLAGS=$flags --remap-path-prefix=$PWD=/la-gateway --remap-path-prefix=$home=/cargo"
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/la-gateway -ffile-prefix-map=$home=/cargo -ffile-prefix-map=$folder=/target"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
auditable=''
if cargo auditable --version >/dev/null 2>&1; then
  auditable=1
  cargo=(cargo auditable)
else
  echo 'without a list of dependencies: cargo-auditable is not installed' >&2
fi
if [ "$machine" != "$(uname -m)" ]; then
  export "${variable}_LINKER=$machine-linux-gnu-gcc"
  if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*" >/dev/null; then
    # Another compiler's results stand apart, or the two throw each other's away.
    folder=$folder/$machine
    export CARGO_TARGET_DIR=$folder RUSTC_BOOTSTRAP=1 PATH=/usr/bin:$PATH
    build_std=('-Zbuild-std=std,panic_abort')
  fi
fi
build() { # profile, program
  "${cargo[@]}" build "${build_std[@]}" --locked --profile "$1" --target "$target" -p "$2" --bin "$2"
  install -D -m 0755 "$folder/$target/$1/$2" "$out/$2"
  rm -f "$out/$2.cdx.json"
  if [ -n "$auditable" ]; then deploy/sbom "$out/$2" >"$out/$2.cdx.json"; fi
}
for program in "${programs[@]}"; do
  case $quick$program in
    1*) build emulated "$program" ;;
    la-gateway) build release la-gateway ;;
    agent-lite) build dist agent-lite ;;
  esac
done
