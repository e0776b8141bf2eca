#!/usr/bin/env bash
# demo.sh CALLGATE - a web server and its client, each under a policy of its own, on the loopback
# interface; then one denial explained. Exits 1 if anything is not as the text says.
set -euo pipefail
callgate=$(realpath "${1:?usage: demo.sh CALLGATE}")
policies=examples/web
cd "$(dirname "$0")/.."

python=/usr/bin/python3
curl=/usr/bin/curl
scratch=$(mktemp -d)
server=
finish() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n%s\n' "$*"; }
show() { printf '$ %s\n' "$*"; }
fail() {
  printf 'demo: %s\n' "$@" >&2
  if [[ -s $scratch/server.log ]]; then
    printf 'demo: what the server wrote:\n' >&2
    cat "$scratch/server.log" >&2
  fi
  exit 1
}

mkdir "$scratch/site"
echo 'Served by Python, fetched by curl, each behind its own gate.' >"$scratch/site/index.html"

: >"$scratch/server.log" # read before the server writes it
say "1. A web server that may read and answer, nothing else ($policies/serve.cg)"
show callgate run $policies/serve.cg -- python3 -m http.server --bind 127.0.0.1
# Port 0 lets the kernel choose a free one; the server says which.
"$callgate" run $policies/serve.cg -- "$python" -I -u -m http.server --bind 127.0.0.1 \
  --directory "$scratch/site" 0 >"$scratch/server.log" 2>&1 &
server=$!
port=
for ((tries = 0; tries < 100; tries++)); do
  port=$(sed -nE 's/^Serving HTTP on .* port ([0-9]+) .*/\1/p' "$scratch/server.log")
  [[ -z $port ]] || break
  kill -0 "$server" 2>/dev/null || fail "the server ended before it listened"
  sleep 0.1
done
[[ -n $port ]] || fail "the server does not listen after 10 s"
grep '^Serving' "$scratch/server.log"

say "2. A client that may fetch and print ($policies/fetch.cg)"
url=http://127.0.0.1:$port/
show callgate run $policies/fetch.cg -- curl -s "$url"
status=0
HOME=$scratch "$callgate" run $policies/fetch.cg -- "$curl" -q -s --noproxy '*' --max-time 20 "$url" \
  >"$scratch/page" 2>"$scratch/client.log" || status=$?
cat "$scratch/page" "$scratch/client.log"
((status == 0)) || fail "curl exited with $status"
cmp -s "$scratch/page" "$scratch/site/index.html" || fail "the page did not arrive whole"
[[ ! -s $scratch/client.log ]] || fail "the policy denied something that the client needs"

say "3. The same client told to write a file, which its policy does not allow"
show callgate run $policies/fetch.cg -- curl -s -S -o page.html "$url"
status=0
HOME=$scratch "$callgate" run $policies/fetch.cg -- "$curl" -q -s -S --noproxy '*' --max-time 20 \
  -o "$scratch/page.html" "$url" >"$scratch/denied.log" 2>&1 || status=$?
sed "s|$scratch/||g" "$scratch/denied.log"
echo "(curl exited with $status)"
((status == 23)) || fail "curl should have failed to write (exit 23)"
[[ ! -e $scratch/page.html ]] || fail "the file was written in spite of the policy"
grep -q '^callgate: denied  openat(' "$scratch/denied.log" || fail "the denial was not reported"
grep -q "fetch.cg:" "$scratch/denied.log" || fail "the report does not name the rule"

kill -0 "$server" 2>/dev/null || fail "the server died meanwhile"
say "Worked as the policies say: served, fetched, and one write refused."
