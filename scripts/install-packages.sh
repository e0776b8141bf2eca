#!/usr/bin/env bash
# install-packages.sh GROUP... - installs the Debian packages of these groups (packages.txt) that
# are missing. Changes nothing, and takes some milliseconds, when none is.
set -euo pipefail
cd "$(dirname "$0")"

die() {
  printf 'install-packages: %s\n' "$@" >&2
  exit 1
}

(($# > 0)) || die "name a group: build, demo, test, bench, coverage"
wanted=$(awk -v groups=" $* " '$1 !~ /^#/ && NF && index(groups, " " $2 " ") { print $1 }' packages.txt)
[[ -n $wanted ]] || die "no package is in '$*'; the groups are build, demo, test, bench, coverage"

if ! command -v dpkg-query >/dev/null; then
  die "this is not a Debian system, so nothing can be installed by name" \
    "install by hand what these packages hold, then use cmake and ctest directly:" \
    "$(tr '\n' ' ' <<<"$wanted")"
fi

# A name that dpkg has never heard of makes it exit 1; it is missing like one that is not installed.
# shellcheck disable=SC2086
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
  awk '$2 == "installed" { print $1 }' || true)
missing=$(comm -23 <(sort -u <<<"$wanted") <(sort -u <<<"$installed") | tr '\n' ' ')
[[ -n $missing ]] || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || die "missing Debian packages: $missing" \
    "neither root nor sudo is at hand; have somebody run: apt-get install $missing"
  as_root=(sudo)
fi

echo "installing Debian packages: $missing"
# Tests need the programs, not running services: while packages are unpacked, nothing is started.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
log=$(mktemp)
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null >"$log" 2>&1
}
# shellcheck disable=SC2086
if ! { apt update && apt install --no-install-recommends $missing; }; then
  tail -n 20 "$log" >&2
  die "apt-get failed (its last lines are above, all of them in $log); still missing: $missing"
fi
rm -f "$log"
