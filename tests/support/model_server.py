"""LeNet5 behind HTTP: ``python -m tests.support.model_server`` prints its port, then serves.

POST takes an image as JSON and gives its logits. With the argument ``refuse`` every answer is 503.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from coded.digits.lenet5 import compute_serially, load

REFUSAL = 503  # HTTP's status of a server that is overloaded


def logits_of(model, image):
    """What a server answers."""
    with torch.inference_mode():
        return model(torch.tensor(image, dtype=torch.float32)[None])[0].tolist()


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True  # else the body waits until the head is acknowledged

    def do_POST(self):
        image = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refuses = self.server.model is None
        body = b"" if refuses else json.dumps(logits_of(self.server.model, image)).encode()
        self.send_response(REFUSAL if refuses else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    compute_serially()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.model = None if "refuse" in sys.argv else load()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until whoever started it closes this, or is gone


if __name__ == "__main__":
    main()
