// The server's side of RFC 6455, as much of it as an echo needs.
"use strict";

const { createHash } = require("node:crypto");

const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const GOING_AWAY = 1001;
const PROTOCOL_ERROR = 1002;
const TOO_BIG = 1009;

// Longest frame taken, in bytes: it is kept whole until its last byte is there.
const FRAME_BYTES_MAX = 1024 * 1024;

// Answers the handshake and echoes from then on; null if it is none.
exports.accept = function (request, socket, head) {
  const key = request.headers["sec-websocket-key"];
  const isWebSocket = (request.headers.upgrade || "").toLowerCase() === "websocket";
  if (!key || !isWebSocket || request.headers["sec-websocket-version"] !== "13") return null;
  const answer = createHash("sha1").update(key + KEY_SUFFIX).digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${answer}\r\n\r\n`,
  );
  return new Echo(socket, head);
};

class Echo {
  constructor(socket, head) {
    this.socket = socket;
    this.received = head;
    socket.on("data", (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.takeFrames();
    });
    socket.on("end", () => socket.end());
    socket.on("error", () => socket.destroy());
    this.takeFrames();
  }

  goAway() {
    this.close(GOING_AWAY);
  }

  close(code) {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.socket.end(frame(0x80 | CLOSE, payload));
  }

  takeFrames() {
    while (this.socket.writable) {
      const next = parse(this.received);
      if (next === null) return;
      if (next.error) {
        this.close(next.error);
        return;
      }
      this.received = this.received.subarray(next.length);
      this.answer(next.first, next.payload);
    }
  }

  // A message in pieces comes back in the same pieces.
  answer(first, payload) {
    switch (first & 0x0f) {
      case CLOSE:
        this.socket.end(frame(first, payload));
        break;
      case PING:
        this.socket.write(frame(0x80 | PONG, payload));
        break;
      case PONG:
        break;
      default:
        this.socket.write(frame(first, payload));
    }
  }
}

// The first frame: its first byte, unmasked payload and length in all. Null while it is not whole.
function parse(bytes) {
  if (bytes.length < 2) return null;
  if ((bytes[1] & 0x80) === 0) return { error: PROTOCOL_ERROR };
  let size = bytes[1] & 0x7f;
  let start = 2;
  if (size === 126) {
    if (bytes.length < 4) return null;
    size = bytes.readUInt16BE(2);
    start = 4;
  } else if (size === 127) {
    if (bytes.length < 10) return null;
    size = Number(bytes.readBigUInt64BE(2));
    start = 10;
  }
  if (size > FRAME_BYTES_MAX) return { error: TOO_BIG };
  const length = start + 4 + size;
  if (bytes.length < length) return null;
  const mask = bytes.subarray(start, start + 4);
  const payload = Buffer.from(bytes.subarray(start + 4, length));
  for (let index = 0; index < size; index++) payload[index] ^= mask[index % 4];
  return { first: bytes[0], payload, length };
}

function frame(first, payload) {
  let head;
  if (payload.length < 126) {
    head = Buffer.from([first, payload.length]);
  } else if (payload.length < 65536) {
    head = Buffer.from([first, 126, payload.length >> 8, payload.length & 0xff]);
  } else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}
