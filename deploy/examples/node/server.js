// A server of Node's standard library: a page, a WebSocket echo and server-sent events.
//
// GET /          the page
// GET /echo      WebSocket: every message comes back
// GET /events    server-sent events: the time, each second
"use strict";

const http = require("node:http");
const os = require("node:os");
const websocket = require("./websocket.js");

const name = process.env.HOSTNAME || os.hostname();
const port = Number(process.env.PORT || 8080);

const page = `<!doctype html>
<title>Dormouse: Node.js</title>
<h1>Hello from ${name}</h1>
<p>Server-sent events: <output id="time"></output></p>
<p><input id="say" placeholder="say something"> <output id="heard"></output></p>
<script>
  new EventSource("/events").onmessage = (event) => (time.value = event.data);
  const socket = new WebSocket("ws://" + location.host + "/echo");
  socket.onmessage = (event) => (heard.value = event.data);
  say.oninput = () => socket.send(say.value);
</script>
`;

const streams = new Set();
const sockets = new Set();

const server = http.createServer((request, response) => {
  switch (request.url) {
    case "/":
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end(page);
      break;
    case "/events":
      events(response);
      break;
    default:
      response.statusCode = 404;
      response.end("no such page\n");
  }
});

function events(response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const tell = () => response.write(`data: ${new Date().toISOString()}\n\n`);
  tell();
  const timer = setInterval(tell, 1000);
  streams.add(response);
  response.on("close", () => {
    clearInterval(timer);
    streams.delete(response);
  });
}

server.on("upgrade", (request, socket, head) => {
  const connection = request.url === "/echo" && websocket.accept(request, socket, head);
  if (!connection) {
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  sockets.add(connection);
  socket.on("close", () => sockets.delete(connection));
});

// Whatever would stay open is ended, open requests are answered, and then nothing is left to run.
process.on("SIGTERM", () => {
  server.close();
  server.closeIdleConnections();
  for (const stream of streams) stream.end();
  for (const connection of sockets) connection.goAway();
});

server.listen(port, () => console.log(`listening on ${port}`));
