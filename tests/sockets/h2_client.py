"""A WebSocket over HTTP/2 (RFC 8441): `h2_client.py ADDRESS`. Prints the tokens of each response."""

import json
import socket
import sys

import h2.config
import h2.connection
import h2.events

HEADERS = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/v1/responses"),
    (":authority", "llm"),
    ("sec-websocket-version", "13"),
    # Envoy does not add the key that a provider with HTTP/1.1 needs.
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
KEY = b"\x11\x22\x33\x44"


def masked(first, payload):
    """A frame of a client. The first byte has the flags and the opcode."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))


class Socket:
    def __init__(self, address):
        host, port = address.split(":")
        self.tcp = socket.create_connection((host, int(port)), timeout=20)
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
        self.http, self.received = h2.connection.H2Connection(config), b""
        self.http.initiate_connection()
        self.flush()
        self.read()
        assert self.http.remote_settings.enable_connect_protocol == 1
        self.stream = self.http.get_next_available_stream_id()
        self.http.send_headers(self.stream, HEADERS)
        self.flush()
        self.status = None
        while self.status is None:
            self.read()

    def flush(self):
        self.tcp.sendall(self.http.data_to_send())

    def read(self):
        for event in self.http.receive_data(self.tcp.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                self.status = dict(event.headers)[b":status"]
            if isinstance(event, h2.events.DataReceived):
                self.received += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()

    def send(self, first, payload):
        self.http.send_data(self.stream, masked(first, payload))
        self.flush()

    def take(self, size):
        while len(self.received) < size:
            self.read()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def receive(self):
        first, length = self.take(2)
        if length == 126:
            length = int.from_bytes(self.take(2), "big")
        return first & 15, self.take(length)


ws = Socket(sys.argv[1])
assert ws.status == b"200", ws.status
for text in ["Is it windy?", "Is it cold?"]:
    ws.send(0x81, json.dumps({"type": "response.create", "model": "gpt-5.5", "input": text}).encode())
    event = {}
    while event.get("type") != "response.completed":
        event = json.loads(ws.receive()[1])
    usage = event["response"]["usage"]
    print("tokens", usage["input_tokens"], usage["output_tokens"], flush=True)
ws.send(0x88, b"\x03\xe8")
assert ws.receive() == (8, b"\x03\xe8")
