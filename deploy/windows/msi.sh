#!/usr/bin/env bash
# Makes the installer of a program for Windows, on Linux (Debian: wixl).
#
#   deploy/windows/msi.sh la-gateway.exe la-gateway.msi [VERSION]      VERSION: the workspace's
#   deploy/windows/msi.sh agent-lite.exe agent-lite.msi [VERSION]
#
# The same version gives the same product code, so that Windows knows a package that it has already. It is not signed:
# `osslsigncode` signs program and installer with your own certificate, the program first.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
fail() { printf 'msi.sh: %s\n' "$1" >&2; exit 1; }

[ $# -ge 2 ] || fail 'wanted: PROGRAM.exe OUT.msi [VERSION]'
program=$(realpath "$1") out=$2
version=${3:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "$version: Windows wants three numbers"
[ -f "$program" ] || fail "$1: there is no such file"
command -v wixl >/dev/null || fail 'wixl is not installed'
name=$(basename "$program" .exe)
case $name in
  la-gateway) sample=gateway ;;
  agent-lite) sample=agent ;;
  *) fail "$name: there are installers of la-gateway.exe and agent-lite.exe" ;;
esac

# A GUID of version 5's form, made of the version.
sum=$(printf 'la-gateway:%s.msi:%s' "$name" "$version" | sha1sum | tr '[:lower:]' '[:upper:]')
code=${sum:0:8}-${sum:8:4}-5${sum:13:3}-A${sum:17:3}-${sum:20:12}
# wixl takes files beside its source only.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$root/deploy/windows/$name.wxs" "$stage/"
cp "$program" "$stage/$name.exe"
cp "$root/deploy/windows/$sample.toml" "$stage/$sample.sample.toml"
cp "$root/LICENSE" "$stage/LICENSE.txt"
wixl -a x64 -o "$out" -D Version="$version" -D ProductCode="$code" "$stage/$name.wxs"
