"""A receiver that takes COUNT requests in each window of SECONDS, and answers all others 429 with the rest of the window.

usage: limiter.py COUNT SECONDS

Prints its port, and then a line per request: the time in seconds since the first one, and the status.
"""

import http.server
import math
import sys
import threading
import time

count, window = int(sys.argv[1]), float(sys.argv[2])
lock = threading.Lock()
state = {"first": None, "window": -1, "taken": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        with lock:
            now = time.monotonic()
            state["first"] = state["first"] or now
            number, into = divmod(now, window)
            if number != state["window"]:
                state.update(window=number, taken=0)
            state["taken"] += 1
            status = 200 if state["taken"] <= count else 429
            print(f"{now - state['first']:.3f} {status}", flush=True)
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", str(max(1, math.ceil(window - into))))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
