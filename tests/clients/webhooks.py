"""Receives webhooks from a running Aval and verifies them with the code of docs/webhook-endpoints.md."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

from standardwebhooks import WebhookVerificationError
from verify_webhooks import read_event

received: Queue[tuple[dict[str, str], bytes]] = Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        received.put((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {os.environ['AVAL_TOKEN']}", "Content-Type": "application/json"}
    request = Request(os.environ["AVAL_URL"] + path, data, headers, method=method)
    with urlopen(request, timeout=20) as response:
        text = response.read()
        return json.loads(text) if text else None


def refuses(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        read_event(secret, body, headers)
    except WebhookVerificationError:
        return True
    return False


server = HTTPServer(("127.0.0.1", 0), Receiver)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/hook"
endpoint = call("POST", "/api/v1/webhook-endpoints", {"url": url, "event_types": ["webhook.secret_rotated.v1"]})
path = f"/api/v1/webhook-endpoints/{endpoint['id']}"

call("POST", f"{path}/test")
headers, body = received.get(timeout=20)
event = read_event(endpoint["secret"], body, headers)
if event["type"] != "webhook.test.v1" or event["data"] != {"endpoint_id": endpoint["id"]}:
    sys.exit(f"an unexpected event: {event}")
if not refuses(endpoint["secret"], body + b" ", headers) or not refuses("whsec_AAAA", body, headers):
    sys.exit("a request that Aval has not signed is accepted")

rotated = call("POST", f"{path}/rotate-secret", {})
headers, body = received.get(timeout=20)
for secret in (endpoint["secret"], rotated["secret"]):
    read_event(secret, body, headers)
call("DELETE", path)
server.shutdown()
