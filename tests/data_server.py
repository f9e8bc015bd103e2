#!/usr/bin/env python3
"""A web server that serves the files of a folder well and badly, for the tests of data/get.h.

/MODE/SET/FILE serves FOLDER/FILE.  MODE is one of
    good        as a server should, with ranges
    norange     always the whole file
    cut         half of what was asked for, then the connection ends
    flaky       the first answer for a file is cut, the later ones are good
    stall       half of what was asked for, then nothing more
    wrong       one bit in the middle is flipped
    long        a thousand bytes too many, announced
    short       a thousand bytes too few, announced
    badrange    a range other than the one asked for
    moved       a redirection to good
    loop        a redirection to itself
    busy        status 503
    none        status 404, with a page of text
    silent      the connection ends without an answer

Prints its port, then serves until its standard input ends.  Each request adds a line
"MODE FILE RANGE" to FOLDER/requests.

Usage: data_server.py FOLDER
"""

import http.server
import os
import re
import sys
import threading
import time

FOLDER = sys.argv[1]
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def fail(self, status):
        page = b"<html>an error page, which is no data</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, data, start, mode):
        """Headers for data[start:], then what the mode sends of it."""
        body = data[start:]
        self.send_response(206 if start else 200)
        if start:
            first = 0 if mode == "badrange" else start
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode in ("cut", "stall"):
            body = body[:len(body) // 2]
        self.wfile.write(body)
        self.wfile.flush()
        if mode == "stall":
            time.sleep(20)
        if mode in ("cut", "stall"):
            self.close_connection = True

    def do_GET(self):
        _, mode, folder, name = self.path.split("/", 3)
        wanted = self.headers.get("Range", "")
        with open(os.path.join(FOLDER, "requests"), "a") as log:
            log.write(f"{mode} {name} {wanted or '-'}\n")
        if mode == "flaky":
            mode = "good" if name in seen else "cut"
            seen.add(name)
        if mode in ("moved", "loop"):
            return self.redirect(f"/{'good' if mode == 'moved' else mode}/{folder}/{name}")
        if mode == "silent":
            self.close_connection = True
            return None
        path = os.path.join(FOLDER, os.path.basename(name))
        if mode in ("busy", "none") or not os.path.isfile(path):
            return self.fail(503 if mode == "busy" else 404)
        with open(path, "rb") as file:
            data = bytearray(file.read())
        if mode == "wrong":
            data[len(data) // 2] ^= 1
        if mode == "long":
            data += bytes(1000)
        if mode == "short":
            data = data[:-1000]
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        start = int(match.group(1)) if match and mode != "norange" else 0
        if start >= len(data):
            return self.fail(416)
        return self.answer(data, start, mode)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that goes away early is what some tests are about."""


def main():
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
