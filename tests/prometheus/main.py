"""Start everything, ask every panel, make every fault."""

import pathlib
import signal
import subprocess
import sys
import time
import traceback

import faults
import panels
from scene import Scene


def main():
    program, work, *wanted = sys.argv[1:]
    root = pathlib.Path(__file__).resolve().parents[2]
    work = pathlib.Path(work)
    scene = Scene(program, root, work)
    # Whatever ends this, it ends what it started; a shell starts what runs in the background deaf to SIGINT.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    begun, good = time.time(), True
    try:
        scene.begin()
        scraped = scene.ask("/metrics", None)
        checked = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True)
        print(f"promtool check metrics: {checked.stderr.decode().strip() or 'clean'}")
        good &= checked.returncode == 0
        if wanted != ["faults"]:
            good &= panels.all_answer(root, scene.prometheus, 120)
        if wanted != ["panels"]:
            names = [name for name in wanted if name not in ("panels", "faults")]
            as_said, made = faults.make(scene, names)
            good &= as_said
            good &= panels.faults_were_shown(root, scene.prometheus, begun, made)
    except Exception:
        traceback.print_exc()
        good = False
    finally:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)
        scene.end()
    if not good:
        for log in sorted(work.glob("*.log")):
            print(f"==> {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
    print("passed" if good else "FAILED")
    sys.exit(not good)


main()
