"""Reads and validates YAML files strictly. An unknown key is an error, because a misspelt setting would otherwise be ignored.

    check.py json FILE...              prints their documents as one JSON array; duplicate keys are errors
    check.py compose FILE...           validates against the schema of Docker Compose files
    check.py crd SCHEMAS FILE...       validates Kubernetes resources against SCHEMAS/<kind>.json
    check.py trim CRDS KIND@VERSION[:PATH,...]
                                       prints a schema for `crd` from a file of CustomResourceDefinitions, without descriptions
                                       and with only the named paths below `spec`
"""

import importlib.resources
import json
import pathlib
import sys

import jsonschema
import ruamel.yaml


def documents(path):
    try:
        return [one for one in ruamel.yaml.YAML(typ="safe").load_all(pathlib.Path(path).read_text()) if one is not None]
    except ruamel.yaml.error.YAMLError as error:
        sys.exit(f"{path}: {error}")


def as_json(*files):
    print(json.dumps([document for path in files for document in documents(path)], default=str))


def compose(*files):
    vendor = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendor.read_text())
    report((path, errors(schema, document)) for path in files for document in documents(path))


def crd(folder, *files):
    def checked():
        for path in files:
            for document in documents(path):
                kind, version = document.get("kind"), document.get("apiVersion")
                place = f"{path}: {kind} {document.get('metadata', {}).get('name')}"
                schema = pathlib.Path(folder, f"{kind}.json")
                if not schema.exists():
                    yield place, [f"no schema {schema}"]
                    continue
                schema = json.loads(schema.read_text())
                if version != schema["$id"]:
                    yield place, [f"apiVersion is {version}, the schema's {schema['$id']}"]
                yield place, errors(strict(schema), document)

    report(checked())


def errors(schema, document):
    found = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{'/'.join(map(str, one.path)) or '(top)'}: {one.message[:300]}" for one in found]


def report(checked):
    said = [f"{place}: {error}" for place, found in checked for error in found]
    print("\n".join(said), file=sys.stderr)
    sys.exit(1 if said else 0)


def strict(schema):
    """Forbids other members in every object that lists its properties, except in branches of anyOf and the like."""
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in closed:
        closed["properties"] = {key: strict(value) for key, value in closed["properties"].items()}
        if not closed.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(closed.get(key), dict):
            closed[key] = strict(closed[key])
    return closed


def trim(crds, wanted):
    name, _, paths = wanted.partition(":")
    kind, version = name.split("@")
    for document in documents(crds):
        if document["kind"] != "CustomResourceDefinition" or document["spec"]["names"]["kind"] != kind:
            continue
        for one in document["spec"]["versions"]:
            if one["name"] != version:
                continue
            schema = without_words(one["schema"]["openAPIV3Schema"])
            schema["properties"].pop("status", None)
            # Every resource has these members. Kubernetes itself validates them.
            schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            if paths:
                schema["properties"]["spec"] = only(schema["properties"]["spec"], [path.split(".") for path in paths.split(",")])
            schema = {"$id": f"{document['spec']['group']}/{version}", **schema}
            print(json.dumps(schema, sort_keys=True, separators=(",", ":")).replace('"properties":{', '"properties":{\n'))
            return
    sys.exit(f"{crds} has no {wanted}")


def only(schema, paths):
    if not paths or [] in paths:
        return schema
    if "items" in schema:
        return {**schema, "items": only(schema["items"], paths)}
    properties = {
        head: only(schema["properties"][head], [path[1:] for path in paths if path[0] == head])
        for head in sorted({path[0] for path in paths})
    }
    return {**schema, "properties": properties}


def without_words(schema):
    if isinstance(schema, dict):
        return {
            key: without_words(value)
            for key, value in schema.items()
            if not (key in ("description", "example") and isinstance(value, str)) and key != "x-kubernetes-validations"
        }
    return [without_words(one) for one in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    commands = {"json": as_json, "compose": compose, "crd": crd, "trim": trim}
    commands[sys.argv[1]](*sys.argv[2:])
