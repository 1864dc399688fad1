"""Everything that runs: the demo's engines, workers under test, producers, callers, Prometheus."""

import http.server
import itertools
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from proxy import Proxy
from watch import Prometheus, wait_until

SCHEMAS = ("cockpit", "aws_cloudtrail", "github_audit", "kubernetes_audit")
RECORDS_PER_S = 40  # of each schema
DEAD, READINGS = "watched.dead", "watched.readings"
QUESTIONS = (
    "/v1/events?limit=5",
    "/v1/events/count?from=-1h",
    "/v1/events/histogram?from=-1h",
    "/v1/events/facets?from=-1h&field=action",
    "/v1/events/feed?limit=5",
    "/v1/events/export?from=-1m&format=ndjson",
    "/v1/quarantine?limit=5",
    "/v1/schemas",
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Scene:
    def __init__(self, program, root, work):
        self.program, self.root, self.work = program, root, work
        self.processes, self.demo, self.ended = [], None, False

    def begin(self):
        self.port, self.api_port, self.verify_port, own = (free_port() for _ in range(4))
        self.address = f"http://127.0.0.1:{self.port}"
        self.start_engines()
        self.clickhouse = Proxy(self.clickhouse_url)
        self.configure()
        self.run("migrate", "up")
        self.reader = self.key("admin", "365d")
        self.certificate(days=90)
        self.serve()
        self.serve_api()
        self.produce()
        self.in_background(lambda: self.ask_for_ever(QUESTIONS))
        # One route often enough to have a latency within a short window, however slow it is.
        for _ in range(3):
            self.in_background(lambda: self.ask_for_ever(QUESTIONS[:1]))
        self.poison_per_s, self.strangers_per_s = 0.1, 0.2
        self.in_background(self.poison_for_ever)
        self.in_background(self.strangers_for_ever)
        self.serve_what_verify_found()
        # What is verified should not be nothing.
        time.sleep(2)
        self.verify()
        targets = (
            ("trailhouse", f"127.0.0.1:{self.port}", "http"),
            ("trailhouse-api", f"127.0.0.1:{self.api_port}", "https"),
            ("node", f"127.0.0.1:{self.verify_port}", "http"),
        )
        rules = (self.root / "dashboards/alerts.yml").read_text()
        self.prometheus = Prometheus(self.work, own, rules, targets)
        self.processes.append(self.prometheus.process)
        wait_until(lambda: self.prometheus.query("up == 1"), 30, "Prometheus")

    # Engines

    def start_engines(self):
        log = self.work / "demo.log"
        arguments = ("--kafka", "apache", "--dir", self.work / "demo", "--listen", "127.0.0.1:0", "--rate", "1")
        self.demo = self.start(log, "demo", *arguments)
        said = lambda: re.search(r"ClickHouse  (\S+).*Kafka  (\S+)", log.read_text())
        found, _ = wait_until(said, 180, "the demo's engines")
        self.clickhouse_url, self.brokers = found[1], found[2]
        children = subprocess.check_output(["ps", "--ppid", str(self.demo.pid), "-o", "pid=,args="], text=True)
        self.kafka_pid = next(int(line.split()[0]) for line in children.splitlines() if "java" in line)
        process = pathlib.Path(f"/proc/{self.kafka_pid}")
        self.kafka_line = process.joinpath("cmdline").read_text().split("\0")[:-1]
        self.kafka_folder = process.joinpath("cwd").readlink()
        # Without the client's own words of a broker that is stopped on purpose.
        client = {"bootstrap.servers": self.brokers, "log_level": 0}
        self.admin = AdminClient(client)
        names = [(f"watched.{schema}", 3) for schema in SCHEMAS] + [(DEAD, 1), (READINGS, 1)]
        for made in self.admin.create_topics([NewTopic(name, parts, 1) for name, parts in names]).values():
            made.result()
        self.producer = Producer(client)

    def ask_clickhouse(self, statement):
        """Ask it directly, as no caller of Trailhouse's can."""
        request = urllib.request.Request(
            f"{self.clickhouse_url}/?user=trailhouse&database=watched", statement.encode()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def stop_kafka(self):
        os.kill(self.kafka_pid, signal.SIGTERM)

    def start_kafka(self):
        """The same broker again, over what it has."""
        process = subprocess.Popen(
            self.kafka_line, cwd=self.kafka_folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)
        self.kafka_pid = process.pid

    # Trailhouse

    def configure(self):
        topics = "".join(
            f'[[kafka.topics]]\nname = "watched.{schema}"\nschema = "{schema}"\ntenant_from_body = true\n'
            for schema in SCHEMAS
        )
        self.mappings = self.work / "schemas"
        self.mappings.mkdir()
        common = f"""
[kafka]
brokers = "{self.brokers}"
group = "watched"
dead_letter_topic = "{DEAD}"
[kafka.properties]
"socket.timeout.ms" = "5000"
"heartbeat.interval.ms" = "500"
{topics}
[[kafka.topics]]
name = "{READINGS}"
schema = "trailhouse"
[clickhouse]
url = "{self.clickhouse.url}"
database = "watched"
user = "trailhouse"
[pipeline]
memory_bytes = 16777216
max_record_bytes = 1048576
[schemas]
dir = "{self.mappings}"
[api.auth]
mode = "token"
[api.audit]
topic = "{READINGS}"
[api.limits]
requests_per_second = 0
"""
        self.config = self.work / "trailhouse.toml"
        self.config.write_text(f'{common}[api]\nlisten = "127.0.0.1:{self.port}"\n')
        self.api_config = self.work / "api.toml"
        self.api_config.write_text(
            f'{common}[api]\nlisten = "127.0.0.1:{self.api_port}"\n'
            f'[api.tls]\ncertificate_file = "{self.work}/tls.crt"\nkey_file = "{self.work}/tls.key"\n'
        )

    def start(self, log, *arguments):
        line = [self.program, *map(str, arguments)]
        process = subprocess.Popen(line, stdout=log.open("a"), stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def run(self, *arguments, may_fail=False):
        line = [self.program, *arguments, "--config", self.config]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
        if done.returncode and not may_fail:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout.strip()

    def serve(self, *arguments):
        self.worker = self.start(self.work / "serve.log", "serve", "--config", self.config, *arguments)
        wait_until(lambda: urllib.request.urlopen(f"{self.address}/livez", timeout=5), 60, "the worker")

    def serve_api(self):
        self.api = self.start(self.work / "api.log", "serve", "--role", "api", "--config", self.api_config)

    def stop(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        process.wait(60)
        self.processes.remove(process)

    def key(self, role, expires):
        return self.run("key", "create", "--name", "watched", "--role", role, "--expires", expires)

    def certificate(self, days):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
            + ["-days", str(days), "-keyout", f"{self.work}/tls.key", "-out", f"{self.work}/tls.crt"],
            check=True,
            capture_output=True,
        )

    def verify(self):
        self.run("verify", "--metrics-file", str(self.work / "verify.prom"), may_fail=True)
        self.verified = (self.work / "verify.prom").read_text()

    def serve_what_verify_found(self):
        """As a node exporter does of its folder of text files."""
        scene = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(scene.verified.encode())

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.verify_port), Handler)
        self.verified = ""
        self.in_background(server.serve_forever)

    # Load

    def in_background(self, what):
        threading.Thread(target=what, daemon=True).start()

    def produce(self):
        for schema in SCHEMAS:
            self.burst(schema, 100_000_000, RECORDS_PER_S)

    def burst(self, schema, count, rate):
        arguments = ("--generate", schema, "--topic", f"watched.{schema}", "--brokers", self.brokers)
        return self.start(
            self.work / "produce.log", "produce", *arguments, "--count", count, "--rate", rate
        )

    def ask(self, path, key):
        request = urllib.request.Request(self.address + path)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as refused:
            return refused.read()
        except OSError:
            return b""

    def ask_for_ever(self, questions):
        for question in itertools.cycle(questions):
            answer = self.ask(question, self.reader)
            if found := re.search(rb'"id":\s*"([0-9a-f-]{36})"', answer or b""):
                self.ask(f"/v1/events/{found[1].decode()}", self.reader)
            time.sleep(0.2)

    def ask_while(self, condition, question):
        while condition():
            self.ask(question, self.reader)

    def unsettle(self):
        """A member of the workers' group that comes and goes, and reads nothing."""
        self.unsettled = True
        taken = lambda: re.search(rb"^trailhouse_partitions_assigned (\d+)", self.ask("/metrics", None), re.M)[1]
        everything = taken()

        def come_and_go():
            while self.unsettled:
                member = Consumer(
                    {
                        "bootstrap.servers": self.brokers,
                        "group.id": "watched",
                        "partition.assignment.strategy": "cooperative-sticky",
                        "heartbeat.interval.ms": 500,
                        "enable.auto.commit": False,
                        "log_level": 0,
                    }
                )
                assigned = []
                member.subscribe(
                    [f"watched.{schema}" for schema in SCHEMAS],
                    on_assign=lambda _, partitions: assigned.extend(partitions),
                )
                until = time.monotonic() + 10
                while not assigned and time.monotonic() < until:
                    member.poll(0.1)
                member.close()
                # What it had comes back to the worker, to be given up again.
                wait_until(lambda: taken() == everything, 30, "the worker's partitions")

        self.in_background(come_and_go)

    def settle(self):
        self.unsettled = False

    def poison_for_ever(self):
        for n in itertools.count():
            time.sleep(1 / self.poison_per_s)
            if not self.ended:
                self.producer.produce("watched.cockpit", f"{{not json {n}", headers={"tenant": "acme"})
                self.producer.poll(0)

    def strangers_for_ever(self):
        while True:
            time.sleep(1 / self.strangers_per_s)
            self.ask("/v1/events", None)

    def end(self):
        """End all that was started; the demo ends its engines."""
        self.ended = True
        if self.demo is None:
            return
        for process in reversed(self.processes):
            if process is not self.demo and process.poll() is None:
                process.kill()
        self.demo.send_signal(signal.SIGINT)
        try:
            self.demo.wait(60)
        except subprocess.TimeoutExpired:
            self.demo.kill()
