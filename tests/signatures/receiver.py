"""A receiver that judges every request with the official library of Standard Webhooks for Python.

usage: receiver.py SECRET [SECRET]

Prints `listening on URL`, then a line for each request: its path, which of the secrets verify it, and whether it is refused
with a byte of its body, its id or its timestamp changed, as `/hook 1,2 safe`. Ends when its stdin does.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRETS = [Webhook(secret) for secret in sys.argv[1:]]


def verifies(webhook, body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def changed(body, headers):
    """The request with one thing changed, in each way."""
    yield body[:-1] + (b" " if body[-1:] != b" " else b"\n"), headers
    yield b" " + body, headers
    yield body, headers | {"webhook-id": headers["webhook-id"] + "0"}
    yield body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        verified = [str(n) for n, secret in enumerate(SECRETS, 1) if verifies(secret, body, headers)]
        forged = any(verifies(secret, *forgery) for secret in SECRETS for forgery in changed(body, headers))
        # In one piece: requests arrive side by side.
        sys.stdout.write(f"{self.path} {','.join(verified) or 'none'} {'forged' if forged else 'safe'}\n")
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
