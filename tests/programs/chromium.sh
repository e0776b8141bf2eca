# Renders a page headless: many processes and threads. Its own sandbox is off, the policy stands in for it.
export HOME="$PWD"
echo '<body><script>document.write("rendered " + 6 * 7)</script></body>' > page.html
$RUN chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage \
  --disable-background-networking --disable-component-update --disable-sync --disable-crash-reporter \
  --user-data-dir="$PWD/profile" --dump-dom "file://$PWD/page.html" | grep -o 'rendered 42'
