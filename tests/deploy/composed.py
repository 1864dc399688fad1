"""What compose.yaml mounts and fetches.

In: compose.yaml. Out: nothing, or every offence: an image without a version, a mount of nothing.
Deliberately unknown here: the Compose specification, which check-jsonschema holds it against.
"""

import pathlib
import sys

import yaml

from rendered import pinned


def offences(file):
    composed = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, service in composed["services"].items():
        if not pinned(service["image"]):
            yield f"{name}: {service['image']} is not pinned"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (file.parent / source).exists():
                    yield f"{name}: {source} is not there"
            elif source not in composed["volumes"]:
                yield f"{name}: the volume {source} is not declared"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to the network, with a trial's passwords"


def main():
    found = list(offences(pathlib.Path(sys.argv[1])))
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
