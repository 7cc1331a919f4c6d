"""Checks where dependencies come from, what licences they have, and that NOTICE names what is compiled in.

    licences.py check     every lock file has only packages of crates.io or of npm's registry, with checksums; every licence
                          permits the use of the package; NOTICE is what `write` would write
    licences.py write     write the part of NOTICE that lists the crates in the plugin and in the npm package, with the texts
                          of their licences

It needs Python 3 and cargo, and no package, and takes a second of CPU time. cargo-deny takes five minutes, because it has to be
compiled, and knows neither npm's lock files nor NOTICE. `cargo metadata` downloads crates of the lock files that are not there yet.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "wasm32-unknown-unknown"
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

# Licences (SPDX) that permit the use in a work under the Apache License 2.0, in source and binary form, on the condition of
# a notice at most.
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "NCSA", "Unicode-3.0",
    "Unlicense", "Zlib", "Apache-2.0 WITH LLVM-exception",
}  # fmt: skip
# Further licences of npm packages. The tests start them as programs, and no release contains them.
OF_TOOLS = {"BlueOak-1.0.0", "LGPL-3.0-or-later"}
# Programs under terms of their vendor. The tests install and start them as their users do. No release contains them.
OF_VENDOR = "node_modules/@anthropic-ai/claude-code"

# Each product and the arguments of its build.
PRODUCTS = {
    "the plugin": [],
    "the npm package": ["--no-default-features", "--features", "edge"],
}
# Crates without a file for their licence, and a crate of the same authors and licence that has one.
SAME_TEXT = {"alloc-no-stdlib": "brotli-decompressor", "alloc-stdlib": "brotli-decompressor"}
# The licence that is used if several are offered: the first of these. The text of the first is in LICENSE.
PREFERRED = ["Apache-2.0", "BSD-3-Clause", "MIT"]
BEGIN = "The plugin and the npm package contain these crates"


def main(command):
    problems = []
    if command == "check":
        problems += [problem for lock in tracked("Cargo.lock") for problem in cargo_sources(lock)]
        problems += [problem for lock in tracked("Cargo.lock") for problem in cargo_licences(lock)]
        problems += [problem for lock in tracked("package-lock.json") for problem in npm_packages(lock)]
    path = ROOT / "NOTICE"
    old = path.read_text()
    new = old[: old.index(BEGIN)] + notice()
    if command == "write":
        path.write_text(new)
    elif command == "check" and new != old:
        problems.append("NOTICE does not list what is compiled in; run 'python3 tests/licences.py write' and read the difference")
    elif command != "check":
        problems.append(f"unknown command {command}: check or write")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def tracked(name):
    listed = subprocess.run(["git", "ls-files", "-z", name, f"**/{name}"], cwd=ROOT, capture_output=True, check=True)
    return sorted(ROOT / path for path in listed.stdout.decode().split("\0") if path)


def shown(path):
    return path.relative_to(ROOT)


def cargo_sources(lock):
    """Each package is in this repository, or in crates.io with a checksum."""
    for package in re.split(r"^\[\[package\]\]$", lock.read_text(), flags=re.M)[1:]:
        value = dict(re.findall(r'^(name|version|source|checksum) = "(.*)"$', package, flags=re.M))
        name = f"{shown(lock)}: {value['name']} {value['version']}"
        if "source" in value and value["source"] != CRATES_IO:
            yield f"{name} comes from {value['source']}, not from crates.io"
        elif "source" in value and not re.fullmatch("[0-9a-f]{64}", value.get("checksum", "")):
            yield f"{name} has no checksum"


def cargo_licences(lock):
    for package in metadata(lock.with_name("Cargo.toml")):
        if package["source"] and not permits(package["license"], PERMISSIVE):
            yield f"{shown(lock)}: {package['name']} {package['version']} has the licence {package['license']}, which tests/licences.py does not list"


def npm_packages(lock):
    for place, package in json.loads(lock.read_text())["packages"].items():
        if not place:  # the package of the lock file itself
            continue
        name = f"{shown(lock)}: {place} {package.get('version')}"
        # Without an address npm takes the package from its registry.
        if "resolved" in package or package.get("link"):
            yield f"{name} comes from {package.get('resolved')}, not from npm's registry"
        elif not package.get("integrity", "").startswith("sha512-"):
            yield f"{name} has no checksum"
        if not place.startswith(OF_VENDOR) and not permits(package.get("license"), PERMISSIVE | OF_TOOLS):
            yield f"{name} has the licence {package.get('license')}, which tests/licences.py does not list"


def metadata(manifest):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", str(manifest)]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if run.returncode != 0:
        sys.exit(f"cargo cannot read {shown(manifest)}; see the error above")
    return json.loads(run.stdout)["packages"]


def permits(expression, allowed):
    """Returns true if an SPDX expression is satisfied by the allowed licences. A slash is the old spelling of OR."""
    if not expression:
        return False
    words = re.findall(r"\(|\)|AND|OR|/|[\w.+-]+(?: WITH [\w.+-]+)?", expression)
    held, rest = either(words, allowed)
    return held and not rest


def either(words, allowed):
    held, words = both(words, allowed)
    while words and words[0] in ("OR", "/"):
        other, words = both(words[1:], allowed)
        held = held or other
    return held, words


def both(words, allowed):
    held, words = one(words, allowed)
    while words and words[0] == "AND":
        other, words = one(words[1:], allowed)
        held = held and other
    return held, words


def one(words, allowed):
    if words[:1] == ["("]:
        held, words = either(words[1:], allowed)
        return held and words[:1] == [")"], words[1:]
    return bool(words) and words[0] in allowed, words[1:]


def compiled(arguments):
    """The names and versions of the crates in a product, without macros and what only the build needs."""
    command = ["cargo", "tree", "--quiet", "--locked", "--target", TARGET, "--edges", "normal,no-proc-macro"]
    command += ["--prefix", "none", "--format", "{p}", *arguments]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False, text=True)
    if run.returncode != 0:
        sys.exit("cargo cannot list the crates of the plugin; see the error above")
    crates = {tuple(line.split()[:2]) for line in run.stdout.splitlines() if line.strip()}
    return {(name, version.lstrip("v")) for name, version in crates if name != "gaugeway"}


def notice():
    """The part of NOTICE about crates."""
    packages = {(package["name"], package["version"]): package for package in metadata(ROOT / "Cargo.toml")}
    products = {product: compiled(arguments) for product, arguments in PRODUCTS.items()}
    rows, texts = {}, {}
    for crate in sorted(set().union(*products.values())):
        package = packages[crate]
        used = used_licence(package["license"])
        places = [product for product, crates in products.items() if crate in crates]
        place = "" if len(places) == len(products) else f", in {places[0]} only"
        rows[f"    {package['name']}: {used}{place}"] = None  # a set in order, because a crate may have two versions
        if used != "Apache-2.0":
            text = licence_text(packages, package, used)
            texts.setdefault(text, []).append(package["name"])
        for file in sorted(folder(package).glob("NOTICE*")):
            texts.setdefault(file.read_text(), []).append(f"{package['name']} ({file.name})")
    lines = [f"{BEGIN} and Rust's standard library. Where a crate offers several licences,", "the one that is used here is named. The file LICENSE has the text of Apache-2.0. The other texts follow the list.", ""]
    lines += [*rows, "    Rust's standard library: Apache-2.0", ""]
    for text, names in sorted(texts.items(), key=lambda item: item[1]):
        lines += [f"{', '.join(sorted(set(names)))}:", ""]
        lines += ["    " + line.strip() if line.strip() else "" for line in text.strip().splitlines()]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def used_licence(expression):
    for licence in PREFERRED:
        if permits(expression, {licence}):
            return licence
    # Several at once, such as `(MIT OR Apache-2.0) AND Unicode-3.0`, or one that is not preferred.
    return expression.replace("(MIT OR Apache-2.0)", "Apache-2.0")


def folder(package):
    return pathlib.Path(package["manifest_path"]).parent


def licence_text(packages, package, used):
    """The text of the licence, from the crate itself."""
    other = SAME_TEXT.get(package["name"])
    source = folder(next((found for (name, _), found in packages.items() if name == other), package))
    # The words of the names of licences, in the names of the files.
    names = [f"LICENSE-{licence.split('-')[0].upper()}" for licence in used.split(" AND ") if licence != "Apache-2.0"]
    for name in [*names, "LICENSE", "LICENSE.md", "LICENSE.txt"]:
        if (source / name).is_file():
            return (source / name).read_text()
    sys.exit(f"{package['name']} has no file with the text of {used}; add it to SAME_TEXT in tests/licences.py if another crate has it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "check"))
