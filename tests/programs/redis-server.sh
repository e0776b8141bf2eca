# Serves on a unix socket, saves a snapshot (a fork), and shuts down when asked to.
$RUN redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" --save '' --daemonize no > log &
server=$!
wait_for socket
client() { redis-cli -s socket "$@"; }
client set key value
client get key
client bgsave > /dev/null
wait_for dump.rdb
client shutdown nosave
wait $server
echo "redis exited with $?"
