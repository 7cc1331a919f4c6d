"""Packs a wasm plugin as an OCI image without a container engine: one layer that holds `plugin.wasm`.

This is the "compat" variant, which Istio and Envoy Gateway load and every registry accepts. The output is an OCI image
layout folder, which `skopeo copy oci:FOLDER:TAG docker://...` pushes. The same plugin gives the same bytes.

    image.py PLUGIN FOLDER TAG
"""

import gzip
import hashlib
import io
import json
import pathlib
import shutil
import sys
import tarfile

OCI = "application/vnd.oci.image"


def main(plugin, folder, tag):
    wasm, folder = pathlib.Path(plugin).read_bytes(), pathlib.Path(folder)
    if wasm[:4] != b"\0asm":
        sys.exit(f"{plugin} is not a WebAssembly module")
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data, kind, **more):
        (blobs / sha256(data)).write_bytes(data)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{sha256(data)}", "size": len(data), **more}

    archive = layer(wasm)
    # Container engines reject an empty architecture or operating system, so the image names wasm and wasi.
    config = put(
        as_json(
            architecture="wasm",
            os="wasi",
            config={},
            rootfs={"type": "layers", "diff_ids": [f"sha256:{sha256(archive)}"]},
        ),
        "config.v1+json",
    )
    layers = [put(gzip.compress(archive, 9, mtime=0), "layer.v1.tar+gzip")]
    manifest = as_json(
        schemaVersion=2,
        mediaType=f"{OCI}.manifest.v1+json",
        config=config,
        layers=layers,
        annotations={"org.opencontainers.image.title": "gaugeway", "org.opencontainers.image.version": tag},
    )
    entry = put(manifest, "manifest.v1+json", annotations={"org.opencontainers.image.ref.name": tag})
    (folder / "index.json").write_bytes(as_json(schemaVersion=2, manifests=[entry]))
    (folder / "oci-layout").write_bytes(as_json(imageLayoutVersion="1.0.0"))
    print(entry["digest"])


def layer(wasm):
    """A tar archive without times, paths and owners, so that it is reproducible."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("plugin.wasm")
        entry.size, entry.mode = len(wasm), 0o644
        tar.addfile(entry, io.BytesIO(wasm))
    return archive.getvalue()


def as_json(**members):
    return json.dumps(members, indent=2).encode() + b"\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
