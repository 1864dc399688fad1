#!/usr/bin/env python3
"""Draw the curves of docs/PERFORMANCE.md from what `cargo bench --bench pipeline -- --json FILE` wrote.

    python3 benches/plot.py docs/curves.svg partitions=partitions.json lag=lag.json size=size.json

Each argument is a name of `AXES` and the file of a sweep over it; of a sweep that was cut off, the points
that are there. Above what an event costs, below how much memory that took. Needs benches/requirements.txt.
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
COSTS = [
    ("cpu_s_per_million", "both", "0.6"),
    ("clickhouse_cpu_s_per_million", "ClickHouse", "tab:orange"),
    ("own_cpu_s_per_million", "Trailhouse", "tab:blue"),
]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sweeps = [argument.split("=", 1) for argument in sys.argv[2:]]
    # The same figures make the same file.
    plt.rcParams.update({"svg.hashsalt": "trailhouse", "svg.fonttype": "none", "font.size": 8})
    size = (2.8 * len(sweeps), 4.6)
    figure, rows = plt.subplots(2, len(sweeps), figsize=size, squeeze=False, height_ratios=(2, 1))
    for costs, memory, (name, file) in zip(*rows, sweeps):
        draw(costs, memory, *AXES[name], file)
    rows[0][0].set_ylabel("CPU s per million events")
    rows[0][0].legend()
    rows[1][0].set_ylabel("peak MB, Trailhouse")
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


def draw(costs, memory, field, label, file):
    with open(file, encoding="utf-8") as lines:
        points = sorted((json.loads(line) for line in lines), key=lambda point: point[field])
    values = [point[field] for point in points]
    systems = [point["systems"]["trailhouse"] for point in points]
    for cost, line, colour in COSTS:
        costs.plot(values, [system[cost] for system in systems], ".-", label=line, color=colour)
    memory.plot(values, [system["own_peak_mb"] for system in systems], ".-", color="tab:blue")
    for plot in (costs, memory):
        if values[-1] > 10 * max(values[0], 1):
            plot.set_xscale("symlog", linthresh=min(value for value in values if value > 0))
        plot.set_xticks(values, [short(value) for value in values])
        plot.minorticks_off()
        plot.grid(alpha=0.3)
    memory.set_ylim(0, 1.1 * max(system["own_peak_mb"] for system in systems))
    # What costs tens of times more is told by its slope.
    dear = max(system["cpu_s_per_million"] for system in systems)
    if dear > 10 * systems[0]["cpu_s_per_million"]:
        costs.set_yscale("log")
    else:
        costs.set_ylim(bottom=0)
    memory.set_xlabel(label)


def short(value):
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return str(value)


main()
