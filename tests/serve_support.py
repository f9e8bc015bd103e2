"""A server of the page for tests: its studies run tests/serve/fake_command.py, or the program."""
import http.client
import json
import os
import subprocess
import urllib.parse

import own_home

FIXTURE = os.environ["BREAKEVEN_SERVE_FIXTURE"]
FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "serve", "fake_command.py")
LIMIT_S = 60


class Server:
    """Started by `words`; its standard output begins with its address."""

    def __init__(self, words, env=None):
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, **(env or {})})
        self.log = None  # what it wrote to standard error until it ended
        self.line = self.process.stdout.readline()
        if not self.line:
            raise AssertionError(self.process.communicate()[1])
        self.address = self.line.split()[0]
        parts = urllib.parse.urlsplit(self.address)
        self.host, self.port = parts.hostname, parts.port
        self.token = urllib.parse.parse_qs(parts.query)["token"][0]

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=LIMIT_S)

    def ask(self, path, method="GET", body=None, headers=None, allowed=True):
        """(status, headers, text) of one request, by default of one who is let in."""
        connection = self.connect()
        given = {"Authorization": "Bearer " + self.token} if allowed else {}
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            given["Content-Type"] = "application/json"
        connection.request(method, path, body, {**given, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def get(self, path):
        status, _, text = self.ask(path)
        if status != 200:
            raise AssertionError(f"{path}: {status}: {text}")
        return json.loads(text) if path.startswith("/api") else text

    def study(self, **asked):
        status, _, text = self.ask("/api/jobs", "POST", asked)
        if status != 202:
            raise AssertionError(text)
        return json.loads(text)["job"]

    def events(self, job):
        """Each event of a study as it comes: {"state": …, "html": …}."""
        connection = self.connect()
        connection.request("GET", f"/events?job={job}", headers={"Authorization":
                                                                 "Bearer " + self.token})
        answer = connection.getresponse()
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def wait(self, job, states=("done", "failed", "stopped")):
        for event in self.events(job):
            if event["state"] in states:
                return event
        raise AssertionError("the stream ended")

    def end(self):
        """The exit code."""
        if self.process.poll() is None or self.log is None:
            self.process.terminate()
            self.log = self.process.communicate(timeout=LIMIT_S)[1]
        return self.process.returncode


def fake_server(folder, **env):
    """Ready to take studies, its results in the folder."""
    data = os.path.join(folder, "data")
    server = Server([FIXTURE, FAKE], {"XDG_DATA_HOME": data, **env})
    server.wait(1)
    return server


assert own_home.HOME
