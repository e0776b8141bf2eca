# Asynchronous files, an HTTP server and its client in one process.
cat > main.js <<'JS'
const fs = require('fs'), http = require('http');
fs.promises.writeFile('note', 'written').then(() => fs.promises.readFile('note', 'utf8')).then(text => {
  console.log(text);
  const server = http.createServer((request, response) => response.end('over loopback'));
  server.listen(0, '127.0.0.1', () => http.get({port: server.address().port, host: '127.0.0.1'}, response => {
    response.on('data', data => console.log(String(data)));
    response.on('end', () => server.close());
  }));
});
JS
$RUN node main.js
