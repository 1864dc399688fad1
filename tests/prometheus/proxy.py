"""A proxy before ClickHouse's HTTP interface, to make it slow, deaf, or strict."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus, urlsplit


class Proxy:
    def __init__(self, target):
        self.target = urlsplit(target).netloc
        self.heal()
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.body()
                if own.deaf:
                    self.close_connection = True
                    return
                is_insert = "INSERT INTO " in unquote_plus(self.path)
                asks_events = not is_insert and b"events" in body + self.path.encode()
                time.sleep(own.insert_s if is_insert else own.question_s if asks_events else 0)
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "transfer-encoding", "content-length", "connection")
                }
                if own.stranger:
                    headers = {name: value for name, value in headers.items() if "user" not in name.lower()}
                    headers["X-ClickHouse-User"] = "stranger"
                upstream = http.client.HTTPConnection(own.target, timeout=120)
                try:
                    upstream.request(self.command, self.path, body, headers)
                    reply = upstream.getresponse()
                    data = reply.read()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                    return
                finally:
                    upstream.close()
                self.send_response_only(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "keep-alive"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_HEAD = answer

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(chunks)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A client that has gone is none of ours to report.
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heal(self):
        """Let everything pass."""
        self.deaf = False  # connections end without an answer, as those of a server that is down
        self.stranger = False  # requests come as a user whom ClickHouse does not know
        self.insert_s = 0  # how long an INSERT waits
        self.question_s = 0  # how long a question about events waits
