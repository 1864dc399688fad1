"""What the manifests say, held against each other and against what they rest on.

In: objects as kustomize and Helm render them, CRDs, the program. Out: nothing, or every offence.

Invariants: an offence names the object and the place. Each rule is shown an object that offends.
Deliberately unknown here: whether a cluster would take them; kubernetes-validate says that.
"""

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib

import jsonschema
import yaml

# Where pods are, by kind.
POD = {
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
# What requests that had begun get after SIGTERM, and the default of pipeline.drain_ms.
REQUESTS_S = 10
DRAIN_MS = 30000
PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
# Made by whoever runs it, and by nobody here.
SECRETS = {"trailhouse-ingest", "trailhouse-api", "trailhouse-migrate", "trailhouse-tls"}
# What Helm adds, and kustomize has no word for.
OF_HELM = re.compile(r"^(helm\.sh/|checksum/|app\.kubernetes\.io/(version|managed-by)$)")


def read(file):
    with open(file, encoding="utf-8") as stream:
        return [found for found in yaml.safe_load_all(stream) if found]


def at(found, *path):
    for part in path:
        found = (found or {}).get(part)
    return found


def name_of(found):
    return f"{found['kind']}/{found['metadata']['name']}"


def pod_of(found):
    return at(found, *POD[found["kind"]]) if found["kind"] in POD else None


def selected(selector, labels):
    """Whether a selector, also a Service's bare one, means a pod of these labels."""
    wanted = selector if "matchLabels" not in selector else selector["matchLabels"]
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def pinned(image):
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return digest.startswith("sha256:") or tag not in ("", "latest")


def offences(objects):
    """What is wrong with one rendering."""
    pods = [(name_of(o), pod_of(o)) for o in objects if o["kind"] in POD]
    there = {name_of(o) for o in objects}
    settings = settings_of(objects)
    drain_s = (at(settings, "pipeline", "drain_ms") or DRAIN_MS) / 1000
    for name, pod in pods:
        yield from (f"{name}: {why}" for why in of_pod(pod["spec"], there, drain_s))
    for found in objects:
        job = at(found, "spec", "jobTemplate", "spec")
        for rule in at(job, "podFailurePolicy", "rules") or []:
            container = at(rule, "onExitCodes", "containerName")
            if all(each["name"] != container for each in at(job, "template", "spec", "containers")):
                yield f"{name_of(found)}: a rule is of {container}, which is no container of it"
    for found in objects:
        name, spec = name_of(found), found.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        labels = [pod["metadata"]["labels"] for _, pod in pods]
        if selector and not any(selected(selector, each) for each in labels):
            yield f"{name}: selects no pod"
        target = at(spec, "scaleTargetRef", "name")
        if target and f"Deployment/{target}" not in there:
            yield f"{name}: scales {target}, which is not there"
        for trigger in spec.get("triggers", []):
            for key, setting in (("bootstrapServers", "brokers"), ("consumerGroup", "group")):
                if trigger["metadata"][key] != settings["kafka"][setting]:
                    yield f"{name}: {key} is not kafka.{setting} of trailhouse.toml"


def of_pod(spec, there, drain_s):
    grace_s = spec.get("terminationGracePeriodSeconds", 30)
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot") or at(security, "seccompProfile", "type") != "RuntimeDefault":
        yield "is not a restricted pod"
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token of Kubernetes"
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if not pinned(container["image"]):
            yield f"{container['image']} is not pinned"
        if not own.get("readOnlyRootFilesystem") or own.get("allowPrivilegeEscalation") is not False:
            yield "may write its own root, or become more than it is"
        if at(own, "capabilities", "drop") != ["ALL"]:
            yield "has capabilities"
        if not at(container, "resources", "limits", "memory"):
            yield "has no limit of memory"
        if container["args"][0] != "serve":
            continue
        pause_s = at(container, "lifecycle", "preStop", "sleep", "seconds") or 0
        drains_s = 0 if "api" in container["args"] else drain_s
        if grace_s <= pause_s + drains_s + REQUESTS_S:
            yield f"is killed after {grace_s} s, before it can be done"
        for probe, path in PROBES.items():
            if at(container, probe, "httpGet", "path") != path:
                yield f"{probe} does not ask {path}"
    for volume in spec["volumes"]:
        secret, config = at(volume, "secret", "secretName"), volume.get("configMap", {})
        if secret and f"Secret/{secret}" not in there and secret not in SECRETS:
            yield f"mounts Secret {secret}, which nobody makes"
        if config and not config.get("optional") and f"ConfigMap/{config['name']}" not in there:
            yield f"mounts ConfigMap {config['name']}, which is not there"


def settings_of(objects):
    texts = [at(o, "data", "trailhouse.toml") for o in objects if o["kind"] == "ConfigMap"]
    return tomllib.loads(next(text for text in texts if text))


def misunderstood(objects, program):
    """Arguments that the program does not know, and settings that it refuses."""
    for found in objects:
        for container in (at(pod_of(found), "spec", "containers") or []):
            asked = subprocess.run([program, *container["args"], "--help"], capture_output=True)
            if asked.returncode:
                yield f"{name_of(found)}: {asked.stderr.decode().strip()}"
        text = at(found, "data", "trailhouse.toml")
        if found["kind"] == "ConfigMap" and text:
            with tempfile.TemporaryDirectory() as folder:
                file = f"{folder}/trailhouse.toml"
                with open(file, "w", encoding="utf-8") as stream:
                    stream.write(text)
                schemas = {"TRAILHOUSE__SCHEMAS__DIR": folder + "/schemas"}
                os.mkdir(schemas["TRAILHOUSE__SCHEMAS__DIR"])
                asked = subprocess.run([program, "check", "--config", file],
                                       env=os.environ | schemas, capture_output=True)
            if asked.returncode:
                yield f"{name_of(found)}: {asked.stderr.decode().strip()}"


def closed(schema):
    """A CRD's schema, refusing what the API server would drop."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    open_ends = ("additionalProperties", "x-kubernetes-preserve-unknown-fields")
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not any(key in schema for key in open_ends):
        found["additionalProperties"] = False
    return found


def unlike_its_crd(objects, crds):
    schemas = {}
    for crd in crds:
        for version in crd["spec"]["versions"]:
            api = f"{crd['spec']['group']}/{version['name']}"
            schema = closed(version["schema"]["openAPIV3Schema"])
            # Whatever else the API server keeps there.
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[api, crd["spec"]["names"]["kind"]] = schema
    for found in objects:
        schema = schemas.get((found["apiVersion"], found["kind"]))
        for error in jsonschema.Draft202012Validator(schema).iter_errors(found) if schema else []:
            yield f"{name_of(found)}: {error.json_path}: {error.message}"


def normal(objects):
    """Objects by name, without what only one of the two has."""
    text = json.dumps(objects)
    for found in objects:
        # kustomize appends a hash.
        name = found["metadata"]["name"]
        if found["kind"] == "ConfigMap" and re.fullmatch(r"trailhouse-[a-z0-9]{10}", name):
            text = text.replace(f'"{name}"', '"trailhouse"')
    kept = {}
    for found in json.loads(text):
        if found["kind"] == "Namespace" or name_of(found) == "ConfigMap/trailhouse-migrate":
            continue
        for holder in (found, pod_of(found) or {}):
            meta = holder.get("metadata", {})
            meta.pop("namespace", None)
            for kind in ("labels", "annotations"):
                own = {k: v for k, v in (meta.pop(kind, None) or {}).items() if not OF_HELM.match(k)}
                if own:
                    meta[kind] = own
        if name_of(found) == "Job/trailhouse-migrate":
            # Helm's hooks run before its ConfigMaps are there, and have their own.
            for volume in found["spec"]["template"]["spec"]["volumes"]:
                if "configMap" in volume:
                    own = volume["configMap"]["name"]
                    volume["configMap"]["name"] = own.replace("trailhouse-migrate", "trailhouse")
        kept[name_of(found)] = found
    return kept


def differences(one, other, place=""):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other)):
            yield from differences(left, right, f"{place}[{index}]")
    elif one != other:
        yield f"{place[1:]}: kustomize has {one!r}, Helm {other!r}"


# (object, path, value that offends, words of the offence)
BROKEN = [
    ("Deployment/trailhouse-ingest", "spec template spec terminationGracePeriodSeconds", 40, "killed"),
    ("Deployment/trailhouse-api", "spec template spec terminationGracePeriodSeconds", 20, "killed"),
    ("Deployment/trailhouse-api", "spec template spec automountServiceAccountToken", True, "token"),
    ("Deployment/trailhouse-api", "spec template spec securityContext runAsNonRoot", False, "restricted"),
    ("Deployment/trailhouse-api", "spec template metadata labels", {}, "selects no pod"),
    ("Deployment/trailhouse-api", "metadata name", "elsewhere", "scales trailhouse-api"),
    ("ScaledObject/trailhouse-ingest", "spec triggers 0 metadata consumerGroup", "g", "kafka.group"),
    ("Job/trailhouse-migrate", "spec template spec containers 0 image", "trailhouse", "not pinned"),
    ("Job/trailhouse-migrate", "spec template spec containers 0 securityContext", {}, "capabilities"),
    ("CronJob/trailhouse-verify", "spec jobTemplate spec template spec volumes 2 secret secretName",
     "nobody's", "nobody makes"),
    ("CronJob/trailhouse-verify", "spec jobTemplate spec podFailurePolicy rules 0 onExitCodes containerName",
     "main", "no container of it"),
]


def rules_that_let_through(objects):
    for name, path, value, words in BROKEN:
        changed = copy.deepcopy(objects)
        *way, last = [int(part) if part.isdigit() else part for part in path.split()]
        place = next(found for found in changed if name_of(found) == name)
        for part in way:
            place = place[part]
        place[last] = value
        if not any(words in offence for offence in offences(changed)):
            yield f"{name}: {path} = {value!r} is let through"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rendered", nargs="+", help="files of objects, each one whole rendering")
    parser.add_argument("--same", nargs=2, metavar="FILE", help="two renderings that say the same")
    parser.add_argument("--crd", nargs="*", default=[], help="files of CRDs")
    parser.add_argument("--program", help="the built trailhouse")
    arguments = parser.parse_args()
    found = []
    crds = [crd for file in arguments.crd for crd in read(file)]
    for file in arguments.rendered:
        objects = read(file)
        told = [*offences(objects), *unlike_its_crd(objects, crds)]
        if arguments.program:
            told += misunderstood(objects, arguments.program)
        if any(each["kind"] == "HorizontalPodAutoscaler" for each in objects):
            told += rules_that_let_through(objects)
        found += [f"{os.path.basename(file)}: {offence}" for offence in told]
    if arguments.same:
        found += differences(*(normal(read(file)) for file in arguments.same))
    print("\n".join(found) or f"{len(arguments.rendered)} renderings hold", file=sys.stderr if found else sys.stdout)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
