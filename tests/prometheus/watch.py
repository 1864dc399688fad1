"""Prometheus: its settings, its rules in quick time, its answers."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request

# How many times faster the test's rules run: two minutes are an hour. Windows and `for` are divided, what
# is compared (10 s, 60 s, 14 days) is not.
TIMES_FASTER = 30

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def quick(rules):
    """The rules with every window and every `for` divided."""

    def divided(found):
        milliseconds = int(found[2]) * UNITS[found[3]] * 1000 // TIMES_FASTER
        return f"{found[1]}{milliseconds}ms"

    return re.sub(r"(\[|for: |offset )(\d+)([smhd])\b", divided, rules)


class Prometheus:
    def __init__(self, folder, port, rules, targets):
        """`targets` are (job, address, scheme). A scrape asks whether ClickHouse answers: up to 2 s."""
        self.url = f"http://127.0.0.1:{port}"
        (folder / "rules.yml").write_text(quick(rules))
        jobs = "".join(
            f"""
  - job_name: {job}
    scheme: {scheme}
    tls_config: {{insecure_skip_verify: true}}
    static_configs: [{{targets: ["{address}"]}}]"""
            for job, address, scheme in targets
        )
        (folder / "prometheus.yml").write_text(
            f"""global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:{jobs}
"""
        )
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "prometheus.log").open("w"),
        )

    def ask(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """The series of an expression now that have a number."""
        result = self.ask("query", query=expression)["result"]
        return [series for series in result if series["value"][1] != "NaN"]

    def query_since(self, expression, since):
        return self.ask("query_range", query=expression, start=since, end=time.time(), step=5)["result"]

    def firing(self):
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def wait_until(condition, within_s, what):
    """The condition's answer, once it has one; seconds it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < within_s:
        try:
            answer = condition()
        except OSError:
            answer = None
        if answer:
            return answer, time.monotonic() - begun
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {within_s} s")
