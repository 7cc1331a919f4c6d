"""The import gate: a plugin may ask its host for functions of module `env`, and nothing else.

Anything more (WASI above all) is refused by some proxy, and only when it starts. Each path named after the plugin must not occur
in it, for a build must not tell on which machine it was made.

    imports.py PLUGIN.wasm [PATH ...]
"""

import re
import sys

MAGIC = b"\0asm\1\0\0\0"
IMPORT_SECTION = 2


class Reader:
    """Walks over bytes in WebAssembly's binary format."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError(f"ends at byte {len(self.data)}, in the middle of something")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def number(self):
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def name(self):
        return self.take(self.number()).decode()

    def limits(self):
        bounded = self.byte() & 1
        self.number()
        if bounded:
            self.number()


def sections(data):
    if not data.startswith(MAGIC):
        raise ValueError("is no WebAssembly 1.0 module")
    reader = Reader(data)
    reader.take(len(MAGIC))
    while reader.at < len(data):
        yield reader.byte(), reader.take(reader.number())


def imports(section):
    reader = Reader(section)
    for _ in range(reader.number()):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        yield module, name
        # Each kind is described at another length, and the next import begins behind it.
        if kind == 0:  # function
            reader.number()
        elif kind == 1:  # table
            reader.byte()
            reader.limits()
        elif kind == 2:  # memory
            reader.limits()
        elif kind == 3:  # global
            reader.take(2)
        elif kind == 4:  # exception tag
            reader.byte()
            reader.number()
        else:
            raise ValueError(f"import {module}.{name} is of unknown kind {kind}")


def offences(data, paths):
    for kind, section in sections(data):
        if kind == IMPORT_SECTION:
            for module, name in imports(section):
                if module != "env":
                    yield f"imports {module}.{name}; only module env may be imported"
    for path in paths:
        # `/src/` is a machine's path, but not inside `/cargo/src/`.
        if re.search(rb"(?<![\w.-])" + re.escape(path.encode()), data):
            yield f"contains the path {path} of the machine that built it"


def main(plugin, *paths):
    with open(plugin, "rb") as file:
        data = file.read()
    try:
        found = list(offences(data, paths))
    except ValueError as problem:
        found = [str(problem)]
    for offence in found:
        print(f"{plugin} {offence}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
