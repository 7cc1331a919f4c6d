"""Prints an in-toto statement (v1) with SLSA provenance (v1) for the files of a release.

    provenance.py VERSION COMMIT RUSTC RUSTC-COMMIT FOLDER

The statement says which commit, compiler and crates gave the files. It has no time and no path of the machine, so that the same
commit and compiler give the same bytes. SECURITY.md describes the build type and the builder.
"""

import hashlib
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKS = ["Cargo.lock", "edge/bindgen/Cargo.lock"]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def crates():
    """All crates of the lock files, with the checksums of their archives."""
    for lock in LOCKS:
        for package in re.split(r"^\[\[package\]\]$", (ROOT / lock).read_text(), flags=re.M)[1:]:
            value = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', package, flags=re.M))
            if "checksum" in value:
                yield f"pkg:cargo/{value['name']}@{value['version']}", value["checksum"]


def statement(version, commit, rustc, rustc_commit, folder):
    files = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_file())
    compiler = {"uri": f"pkg:generic/rustc@{rustc}"}
    # Distributions build compilers of which the commit is not known.
    if re.fullmatch("[0-9a-f]{40}", rustc_commit):
        compiler["digest"] = {"gitCommit": rustc_commit}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sha256(path)}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:gaugeway:build:release:1",
                "externalParameters": {"command": "./build.sh release", "version": version},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit}},
                    compiler,
                    *({"name": lock, "digest": {"sha256": sha256(ROOT / lock)}} for lock in LOCKS),
                    *({"uri": uri, "digest": {"sha256": digest}} for uri, digest in sorted(set(crates()))),
                ],
            },
            "runDetails": {"builder": {"id": "urn:gaugeway:builder:release-owner"}},
        },
    }


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    print(json.dumps(statement(*sys.argv[1:]), indent=1))
