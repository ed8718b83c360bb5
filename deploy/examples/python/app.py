"""A web server of the standard library: a greeting, and primes for some real work.

GET /             who answers
GET /primes/N     how many primes there are below N (at most a million)
GET /healthz      readiness
"""

import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRIMES_BELOW_MAX = 1_000_000


def primes_below(limit):
    sieve = bytearray([1]) * limit
    sieve[:2] = bytes(min(limit, 2))
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            multiples = range(number * number, limit, number)
            sieve[number * number :: number] = bytes(len(multiples))
    return sum(sieve)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Ends idle connections, and with them the threads that a stopping server waits for. Longer than
    # Dormouse keeps an idle connection in use, so that none is closed under a request.
    timeout = 5

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok\n")
        elif self.path == "/":
            self.answer(200, f"Hello from {os.environ.get('HOSTNAME', 'python')}\n")
        elif self.path.startswith("/primes/"):
            self.primes(self.path.removeprefix("/primes/"))
        else:
            self.answer(404, "no such page\n")

    def primes(self, text):
        if not text.isdecimal() or int(text) > PRIMES_BELOW_MAX:
            self.answer(400, f"expected a number up to {PRIMES_BELOW_MAX}\n")
            return
        self.answer(200, f"{primes_below(int(text))} primes below {text}\n")

    def log_request(self, *args):
        if self.path != "/healthz":
            super().log_request(*args)

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    # Open requests are answered before the process ends.
    daemon_threads = False
    # A burst that was held arrives all at once.
    request_queue_size = socket.SOMAXCONN


def main():
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)
    # From a thread of its own: shutdown waits for the loop that this handler interrupts.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {server.server_port}")
    server.serve_forever()
    server.server_close()


main()
