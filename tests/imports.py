"""Checks that the plugin imports exactly the functions listed here: those of proxy-wasm and one of WASI.

A host rejects a module with an unknown import, but only at start. The PATHs must not occur in the
plugin, because a build must not depend on the machine that made it.

    imports.py PLUGIN.wasm [PATH ...]
"""

import re
import sys

MAGIC = b"\0asm\1\0\0\0"
IMPORT_SECTION = 2

# The calls that the plugin makes, and their purposes. src/envoy/host.rs says which of them go through the SDK.
CALLED = {
    "proxy_call_foreign_function": "declare filter state",
    "proxy_close_stream": "reset an encoded answer that stream_usage.inject decodes, if it is malformed",
    "proxy_continue_stream": "release a request that was held for its body",
    "proxy_define_metric": "metrics",
    "proxy_get_buffer_bytes": "bodies and the configuration",
    "proxy_get_current_time_nanoseconds": "durations",
    "proxy_get_header_map_pairs": "request and response headers",
    "proxy_get_header_map_value": "the path, trace headers, the status of a collector's answer",
    "proxy_get_property": "route, route settings, how a stream ended",
    "proxy_get_shared_data": "tool calls and answers that all workers remember",
    "proxy_http_call": "spans to a collector",
    "proxy_increment_metric": "metrics",
    "proxy_log": "messages",
    "proxy_record_metric": "metrics",
    "proxy_remove_header_map_value": "content-length of a changed body",
    "proxy_replace_header_map_value": "content-length and accept-encoding of a changed request",
    "proxy_send_local_response": "replies to feedback",
    "proxy_set_buffer_bytes": "bodies that stream_usage.inject changes",
    "proxy_set_effective_context": "act for a held stream from a tick; the SDK, for the answer of a call",
    "proxy_set_property": "attributes",
    "proxy_set_shared_data": "tool calls and answers that all workers remember",
    "proxy_set_tick_period_milliseconds": "periodic work",
}

# Calls in default methods of the SDK's traits. Their method tables keep the imports in the module. The plugin never
# makes these calls, and tests/host fails if it does.
NEVER_CALLED = {
    "proxy_add_header_map_value": "HttpContext::add_http_request_header and the like",
    "proxy_dequeue_shared_queue": "Context::dequeue_shared_queue",
    "proxy_done": "Context::done",
    "proxy_enqueue_shared_queue": "Context::enqueue_shared_queue",
    "proxy_get_status": "Context::get_grpc_status",
    "proxy_grpc_call": "Context::dispatch_grpc_call",
    "proxy_grpc_cancel": "Context::cancel_grpc_call, cancel_grpc_stream",
    "proxy_grpc_close": "Context::close_grpc_stream",
    "proxy_grpc_send": "Context::send_grpc_stream_message",
    "proxy_grpc_stream": "Context::open_grpc_stream",
    "proxy_register_shared_queue": "Context::register_shared_queue",
    "proxy_resolve_shared_queue": "Context::resolve_shared_queue",
    "proxy_set_header_map_pairs": "HttpContext::set_http_request_headers and the like",
}

# The calls of WASI. Envoy and nginx define this one, and the standard library of Rust imports it for any plugin with a HashMap.
WASI = {
    "random_get": "the key of the hashes that tell callers apart",
}


class Reader:
    """Walks over bytes in WebAssembly's binary format."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError(f"is truncated: it ends at byte {len(self.data)} inside a field")
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
        raise ValueError("is not a WebAssembly 1.0 module")
    reader = Reader(data)
    reader.take(len(MAGIC))
    while reader.at < len(data):
        yield reader.byte(), reader.take(reader.number())


def imports(section):
    reader = Reader(section)
    for _ in range(reader.number()):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        yield module, name
        # The description of each kind has another length, and the next import follows it.
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
            raise ValueError(f"import {module}.{name} has the unknown kind {kind}")


def offences(data, paths):
    listed = {("env", name) for name in [*CALLED, *NEVER_CALLED]} | {("wasi_snapshot_preview1", name) for name in WASI}
    found = {pair for kind, section in sections(data) if kind == IMPORT_SECTION for pair in imports(section)}
    for module, name in sorted(found - listed):
        yield f"imports {module}.{name}, which tests/imports.py does not list"
    for module, name in sorted(listed - found):
        yield f"does not import {module}.{name}, which tests/imports.py lists"
    for path in paths:
        # `/src/` may be a path of the build machine, but not inside `/cargo/src/`.
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
