"""All groups of rules in a rendering, as Prometheus reads them.

In: objects, at standard input. Out: one file of rules, at standard output.
"""

import sys

import yaml

objects = [found for found in yaml.safe_load_all(sys.stdin) if found]
rules = [found["spec"]["groups"] for found in objects if found["kind"] == "PrometheusRule"]
yaml.safe_dump({"groups": sum(rules, [])}, sys.stdout)
