#!/usr/bin/env bash
# bench.sh [FOLDER] - the benchmarks, on an optimised build.
#
# FOLDER, or CALLGATE_DATA, holds profiles/*.rules, the rule lists that callgate's filters are compared on
# (tools/rules_to_policy.py describes them). They are no part of the tree; without them their tables are left out.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:-${CALLGATE_DATA:-}}
scripts/build.sh bench callgate_cli kernel_cache compile_table analysis_table growth kernel_cost notify_cost notify_shards
bin=build/bench/bench

echo "== starting a program"
python3 bench/startup.py build/bench/bin/callgate

echo
echo "== denied calls"
python3 bench/denials.py build/bench/bin/callgate

echo
echo "== calls that a supervisor decides"
$bin/notify_cost
$bin/notify_shards

echo
echo "== the kernel's cache of allowed numbers beside the model of it"
$bin/kernel_cache 2000

echo
echo "== as policies grow"
$bin/growth

if [[ -z $data ]]; then
  echo
  echo "bench: no rule lists: set CALLGATE_DATA to the folder with profiles/*.rules for the tables of filters" >&2
  exit 0
fi
[[ -d $data/profiles ]] || {
  echo "bench: $data has no folder profiles" >&2
  exit 1
}

policies=build/bench/policies
mkdir -p $policies
pairs=()
for profile in moby syssvc sshlike fc_vmm fc_vcpu fjdefault; do
  rules=$data/profiles/$profile.rules
  python3 tools/rules_to_policy.py data/syscalls.tsv "$rules" >$policies/$profile.cg
  pairs+=("$rules" $policies/$profile.cg)
done
rules=$data/profiles/moby.rules
python3 tools/rules_to_policy.py data/syscalls.tsv "$rules" x86_64 i386 x32 >$policies/moby-3abis.cg

echo
echo "== filters beside libseccomp's"
$bin/compile_table "${pairs[@]}" "$rules" $policies/moby-3abis.cg

echo "== questions about libseccomp's"
$bin/analysis_table "$data"/profiles/{moby,syssvc,sshlike}.rules

echo "== what they cost a running program (moby, three ABIs)"
$bin/kernel_cost "$rules" $policies/moby-3abis.cg
