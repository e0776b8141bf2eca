# Master and worker serve a file over a unix socket, then quit gracefully.
mkdir -p logs body
echo served > page
cat > nginx.conf <<CONF
daemon off; worker_processes 1; pid $PWD/nginx.pid; error_log $PWD/logs/error; $(is_root && echo "user root;")
events { worker_connections 16; }
http {
  access_log off; root $PWD; client_body_temp_path body; proxy_temp_path body; fastcgi_temp_path body;
  uwsgi_temp_path body; scgi_temp_path body;
  server { listen unix:$PWD/socket; }
}
CONF
$RUN nginx -e "$PWD/logs/error" -p "$PWD" -c "$PWD/nginx.conf" &
server=$!
wait_for socket
curl -s --unix-socket socket http://localhost/page
curl -s -o /dev/null -w '%{http_code}\n' --unix-socket socket http://localhost/missing
kill -QUIT $server
wait $server
echo "nginx exited with $?"
