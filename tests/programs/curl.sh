# Fetches a file from a server on loopback that is not under the policy.
echo served > page
python3 -I -c '
import functools, http.server
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=".")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
open("port.new", "w").write(str(server.server_port))
import os; os.rename("port.new", "port")
server.serve_forever()' 2>/dev/null &
server=$!
wait_for port
$RUN curl -s "http://127.0.0.1:$(cat port)/page"
kill $server
