#!/usr/bin/env python3
"""Draw the curves of docs/PERFORMANCE.md from what `cargo bench --bench pipeline -- --json FILE` wrote.

    python3 benches/plot.py docs/curves.svg partitions=partitions.json lag=lag.json size=size.json

Each argument is a name of `AXES` and the file of a sweep over it. Needs matplotlib (PyPI).
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

AXES = {
    "partitions": ("partitions", "partitions"),
    "lag": ("events", "events in the topic"),
    "batch": ("batch_rows", "most rows of a batch"),
    "table": ("table_rows", "rows in the table before"),
    "size": ("event_bytes", "bytes an event"),
    "schemas": ("schemas", "schemas in the topic"),
}
LINES = [
    ("own_cpu_s_per_million", "Trailhouse"),
    ("clickhouse_cpu_s_per_million", "ClickHouse"),
]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sweeps = [argument.split("=", 1) for argument in sys.argv[2:]]
    figure, plots = plt.subplots(1, len(sweeps), figsize=(4 * len(sweeps), 3.2), squeeze=False)
    for plot, (name, file) in zip(plots[0], sweeps):
        field, label = AXES[name]
        with open(file, encoding="utf-8") as opened:
            points = sorted(json.load(opened), key=lambda point: point[field])
        for cost, line in LINES:
            costs = [point["systems"]["trailhouse"][cost] for point in points]
            plot.plot([point[field] for point in points], costs, marker="o", label=line)
        plot.set_xlabel(label)
        plot.set_xscale("symlog" if points[0][field] == 0 else "log")
        plot.set_ylim(bottom=0)
        plot.grid(alpha=0.3)
    plots[0][0].set_ylabel("CPU s per million events")
    plots[0][0].legend()
    figure.tight_layout()
    # The same figures make the same file.
    plt.rcParams["svg.hashsalt"] = "trailhouse"
    figure.savefig(sys.argv[1], metadata={"Date": None})


main()
