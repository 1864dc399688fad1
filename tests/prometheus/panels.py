"""Every panel's query, asked."""

import json
import time

from watch import wait_until

DASHBOARDS = ("overview", "ingestion", "api")

# What shows nothing while all is well, and the fault after which it must have shown something.
NEED_A_FAULT = {
    ("overview", "Alerts"): "any",
    ("api", "Errors by route"): "ClickHouse stopped",
}


def queries(root):
    """(dashboard, title, expression) of every panel, variables filled in."""
    for name in DASHBOARDS:
        dashboard = json.loads((root / f"dashboards/{name}.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "30s").replace("$topic", ".*")
                yield name, panel["title"], expression


def all_answer(root, prometheus, within_s):
    """Whether every panel shows something, once it had time to."""
    waited_for = {(name, title, query) for name, title, query in queries(root)}
    number = len(waited_for)
    waited_for = {entry for entry in waited_for if entry[:2] not in NEED_A_FAULT}

    def answered():
        for entry in list(waited_for):
            if prometheus.query(entry[2]):
                waited_for.discard(entry)
        return not waited_for

    try:
        _, seconds = wait_until(answered, within_s, "panels")
        print(f"{number} queries of panels: all answer after {seconds:.0f} s, but those that need a fault:")
        for (name, title), fault in NEED_A_FAULT.items():
            print(f"    {name}, {title}: {fault}")
        return True
    except TimeoutError:
        for name, title, expression in sorted(waited_for):
            print(f"EMPTY  {name}, {title}: {expression}")
        return False


def faults_were_shown(root, prometheus, since, faults):
    """Whether the panels that need a fault showed it, of the faults that were made."""
    empty = [
        (name, title)
        for name, title, expression in queries(root)
        if NEED_A_FAULT.get((name, title)) in {"any", *faults}
        and not prometheus.query_since(expression, since)
    ]
    for name, title in empty:
        print(f"EMPTY  {name}, {title}, though its fault was made")
    print(f"panels that need a fault, asked over {time.time() - since:.0f} s: {len(empty)} empty")
    return not empty
