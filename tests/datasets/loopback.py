"""A real HTTP server on the loopback address, for downloads that fail in every possible way."""

import contextlib
import http.server
import threading


class Loopback:
    """Serves `files` ({path: bytes}). Each request takes the next of `manners`; the last one is used again and again.

    A manner is "good", ("short", n) (claims the whole length, closes after n bytes), ("stall", n) (sends n bytes and
    then nothing), ("status", code), ("page", text) (200 with HTML), ("claim", n) (claims n bytes), "unstated" (no
    length is stated), or "endless" (nor is one, and the body is sent until the other end hangs up).
    """

    def __init__(self):
        self.files, self.manners, self.requests = {}, ["good"], []
        self.leave, self.hung_up = threading.Event(), threading.Event()
        loopback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                loopback.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.leave.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler):
        manner = self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]
        kind, value = manner if isinstance(manner, tuple) else (manner, None)
        self.requests.append((handler.command, handler.path))
        handler.close_connection = True
        body = self.files.get(handler.path)
        if kind == "status" or (body is None and kind != "page"):
            self.send(handler, value or 404, {}, b"")
        elif kind == "page":
            self.send(handler, 200, {"Content-Type": "text/html"}, value.encode())
        elif kind in ("endless", "unstated"):
            self.send_without_length(handler, body, kind == "endless")
        else:
            self.send(handler, 200, {}, body, kind, value)

    def send_without_length(self, handler, body, endless):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(body)
            while endless and not self.leave.is_set():
                handler.wfile.write(body)
        self.hung_up.set()

    def send(self, handler, status, headers, body, kind="good", value=None):
        handler.send_response(status)
        for name, text in headers.items():
            handler.send_header(name, text)
        handler.send_header("Content-Length", str(value if kind == "claim" else len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        body = body[:value] if kind in ("short", "stall") else body
        handler.wfile.write(body)
        handler.wfile.flush()
        if kind == "stall":
            self.leave.wait(30)
