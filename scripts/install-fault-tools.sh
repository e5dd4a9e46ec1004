#!/usr/bin/env bash
# Installs what `test/faults` and some tests of the store make a disk full, slow, broken or powerless with, a clock wrong and a process traced, and Chromium for
# `test/dashboard`.
# On Debian and its kin, as root. Without these tools the tests that need them are skipped, each with its reason.
set -euo pipefail

packages=()
need() {
  local package=$1
  shift
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || {
      packages+=("$package")
      return
    }
  done
}
need strace strace
need mount mount losetup
need util-linux unshare setsid
need e2fsprogs mkfs.ext4
need xfsprogs xfs_io
need faketime faketime
need chromium chromium

((${#packages[@]})) || exit 0
if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
  echo "Without ${packages[*]}: the tests that need it are skipped." >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2 ||
  echo "Could not install ${packages[*]}: the tests that need it are skipped." >&2
