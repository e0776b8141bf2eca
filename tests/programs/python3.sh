# Files, a thread, a child process and a loopback socket from the standard library.
$RUN python3 -I - <<'PY'
import os, socket, sqlite3, subprocess, tempfile, threading

with tempfile.TemporaryDirectory(dir=".") as folder:
    path = os.path.join(folder, "note")
    with open(path, "w") as out:
        out.write("written")
    os.rename(path, path + ".2")
    print(open(path + ".2").read())

server = socket.create_server(("127.0.0.1", 0))
def serve():
    peer, _ = server.accept()
    peer.sendall(b"over loopback")
    peer.close()
thread = threading.Thread(target=serve)
thread.start()
with socket.create_connection(server.getsockname()) as client:
    print(client.recv(100).decode())
thread.join()
print(subprocess.run(["echo", "from a child"], capture_output=True, text=True).stdout, end="")
PY
