"""Faults, the alerts they are for, and how long each took to fire."""

import re
import signal
import time
from dataclasses import dataclass
from typing import Callable

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from scene import DEAD, QUESTIONS
from watch import TIMES_FASTER, wait_until

FIRES_WITHIN_S = 240
QUIET_WITHIN_S = 300

# Alerts that stay for what has been, in quick time for minutes: what is late remains late.
LASTING = {"TrailhouseFreshnessBurnsSlowly"}


@dataclass
class Fault:
    name: str
    alerts: tuple
    begin: Callable
    end: Callable


def faults(scene):
    proxy = scene.clickhouse
    stored = {}

    def slow_inserts():
        proxy.insert_s = 12
        stored["burst"] = scene.burst("cockpit", 50_000, 4_000)

    def slow_questions():
        proxy.question_s = 4
        # As many answers as before, though each takes so much longer: else quick windows have none.
        for _ in range(12):
            scene.in_background(lambda: scene.ask_while(lambda: proxy.question_s, QUESTIONS[0]))

    def reload(text):
        scene.mappings.joinpath("broken.toml").write_text(text)
        scene.worker.send_signal(signal.SIGHUP)

    def good_mappings():
        scene.mappings.joinpath("broken.toml").unlink()
        scene.worker.send_signal(signal.SIGHUP)

    def long_ago():
        stored["verified"] = scene.verified
        then = str(int(time.time()) - 27 * 3600)
        scene.verified = re.sub(r"(last_run_timestamp_seconds) \d\S*", rf"\1 {then}", scene.verified)

    def certificate(days):
        scene.certificate(days)
        scene.stop(scene.api)
        scene.serve_api()

    def key():
        stored["key"] = scene.key("auditor", "3d")

    def revoke():
        scene.run("key", "revoke", re.match("th_([^_]+)", stored["key"])[1])

    def no_dead_letter_topic():
        for deleted in scene.admin.delete_topics([DEAD]).values():
            deleted.result()
        scene.poison_per_s = 1

    def dead_letter_topic():
        for made in scene.admin.create_topics([NewTopic(DEAD, 1, 1)]).values():
            made.result()
        scene.poison_per_s = 0.1

    def delete_records():
        scene.stop(scene.worker)
        # Something must have come that the worker has not read.
        time.sleep(3)
        everything = [TopicPartition("watched.github_audit", 0, -1)]
        for deleted in scene.admin.delete_records(everything).values():
            deleted.result()
        scene.serve()

    def accept():
        scene.stop(scene.worker)
        scene.serve("--accept-gap", "watched.github_audit/0")

    def delete_rows():
        where = "kafka_topic = 'watched.github_audit' AND kafka_partition = 1 AND kafka_offset < 5"
        scene.ask_clickhouse("CREATE TABLE put_aside AS events")
        scene.ask_clickhouse(f"INSERT INTO put_aside SELECT * FROM events WHERE {where}")
        scene.ask_clickhouse(f"ALTER TABLE events DELETE WHERE {where} SETTINGS mutations_sync = 2")
        scene.verify()

    def put_back():
        scene.ask_clickhouse("INSERT INTO events SELECT * FROM put_aside")
        scene.verify()

    def many_parts():
        scene.ask_clickhouse("SYSTEM STOP MERGES quarantine")
        scene.ask_clickhouse(
            "INSERT INTO quarantine (kafka_topic, kafka_offset) SELECT 'nobody', number FROM numbers(1100) "
            "SETTINGS max_block_size = 1, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1"
        )

    def few_parts():
        scene.ask_clickhouse("SYSTEM START MERGES quarantine")
        scene.ask_clickhouse("ALTER TABLE quarantine DELETE WHERE kafka_topic = 'nobody'")
        scene.ask_clickhouse("OPTIMIZE TABLE quarantine FINAL")

    def set_(**values):
        def change():
            for name, value in values.items():
                setattr(proxy if hasattr(proxy, name) else scene, name, value)

        return change

    # Those of one row are made at once.
    return (
        (
            Fault(
                "the worker killed",
                ("Down", "NoConsumer"),
                lambda: scene.stop(scene.worker, signal.SIGKILL),
                scene.serve,
            ),
        ),
        (
            Fault("5 rows deleted, and verify", ("VerifyFailing",), delete_rows, put_back),
            Fault(
                "dead-letter topic deleted", ("DeadLettersStuck",), no_dead_letter_topic, dead_letter_topic
            ),
        ),
        (
            Fault(
                "inserts take 12 s, and a burst",
                ("FreshnessBurnsFast", "FreshnessBurnsSlowly", "MemoryNearBudget"),
                slow_inserts,
                proxy.heal,
            ),
            Fault("no verify for 27 h", ("VerifyNotRun",), long_ago, lambda: set_(verified=stored["verified"])()),
        ),
        (
            Fault("questions take 4 s", ("ApiSlow",), slow_questions, set_(question_s=0)),
            Fault("a mapping that is none, and SIGHUP", ("ConfigReloadFailed",), lambda: reload("="), good_mappings),
            Fault("poison records", ("QuarantineRate",), set_(poison_per_s=10), set_(poison_per_s=0.1)),
            Fault("merges stopped", ("TooManyParts",), many_parts, few_parts),
            Fault("20 strangers a second", ("AuthFailures",), set_(strangers_per_s=20), set_(strangers_per_s=0.2)),
            Fault("a key for 3 days", ("KeyExpires",), key, revoke),
            Fault("a certificate for 3 days", ("CertificateExpires",), lambda: certificate(3), lambda: certificate(90)),
        ),
        (
            Fault(
                "ClickHouse stopped",
                ("InsertsFailing", "NotReady", "ApiErrors", "LagGrowing"),
                set_(deaf=True),
                proxy.heal,
            ),
        ),
        (Fault("a member comes and goes", ("Rebalancing",), scene.unsettle, scene.settle),),
        (Fault("a wrong password", ("InsertsFailing", "NotReady", "ApiErrors"), set_(stranger=True), proxy.heal),),
        (Fault("records deleted unread", ("GapFound", "NotReady"), delete_records, accept),),
        (
            Fault(
                "Kafka stopped",
                ("NotReady", "ReadingsLost"),
                scene.stop_kafka,
                scene.start_kafka,
            ),
        ),
    )


def make(scene, wanted):
    """Each alert fires in its fault and is quiet without. Answers whether, and the faults made."""
    prometheus, good, made = scene.prometheus, True, []
    time.sleep(40)
    loud = prometheus.firing()
    print(f"without a fault, after 40 s: {', '.join(sorted(loud)) or 'all quiet'}")
    good &= not loud
    print(f"{'fault':32} {'alert':34} {'fires after':>11} {'quiet after':>11}")
    for row in faults(scene):
        row = [fault for fault in row if not wanted or fault.name in wanted]
        if not row:
            continue
        begun, fired, also = {}, {}, set()
        for fault in row:
            fault.begin()
            begun[fault.name] = time.monotonic()
        expected = {(fault.name, f"Trailhouse{alert}") for fault in row for alert in fault.alerts}

        def all_fire():
            now = prometheus.firing()
            for name, alert in expected:
                if alert in now:
                    fired.setdefault((name, alert), time.monotonic() - begun[name])
            also.update(now)
            return len(fired) == len(expected)

        try:
            wait_until(all_fire, FIRES_WITHIN_S, "alerts")
        except TimeoutError:
            good = False
        for fault in row:
            fault.end()
        healed, quiet = time.monotonic(), {}

        def all_quiet():
            now = prometheus.firing()
            for _, alert in expected:
                if alert not in now:
                    quiet.setdefault(alert, time.monotonic() - healed)
                else:
                    quiet.pop(alert, None)
            return now <= LASTING

        try:
            wait_until(all_quiet, QUIET_WITHIN_S, "quiet")
        except TimeoutError:
            good = False
            print(f"still firing: {', '.join(sorted(prometheus.firing() - LASTING))}")
        for fault in row:
            made.append(fault.name)
            for alert in (f"Trailhouse{alert}" for alert in fault.alerts):
                after = fired.get((fault.name, alert))
                fires = f"{after:.0f} s" if after is not None else "NOT"
                calm = f"{quiet[alert]:.0f} s" if alert in quiet else "lasting"
                print(f"{fault.name:32} {alert:34} {fires:>11} {calm:>11}", flush=True)
        more = also - {alert for _, alert in expected} - LASTING
        if more:
            print(f"    and {', '.join(sorted(more))}")
    print(f"(windows and `for` {TIMES_FASTER} times shorter than in alerts.yml)")
    return good, made
