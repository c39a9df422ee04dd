"""A unary gRPC call over HTTP/2 on a unix socket: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

grpcio would bring threads that stay for the rest of the session, and the tests fork.
"""

from __future__ import annotations

import socket
import struct
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events


class CallError(Exception):
    """What the server answered instead. `code`: 5 is NotFound, 2 Unknown …"""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def call(address: str, method: str, request: bytes, timeout: float = 90.0) -> bytes:
    """`method`: "/package.Service/Method". Raises CallError, OSError."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(address)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost", "te": "trailers"}
        connection.send_headers(stream, [*headers.items(), ("content-type", "application/grpc")])
        body = struct.pack(">?I", False, len(request)) + request
        answer, status = b"", {"grpc-status": "2", "grpc-message": "the connection was closed"}
        while True:
            while body and (room := min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, len(body))):
                part, body = body[:room], body[room:]
                connection.send_data(stream, part, end_stream=not body)
            sock.sendall(connection.data_to_send())
            data = sock.recv(1 << 16)
            for event in connection.receive_data(data) if data else [h2.events.ConnectionTerminated()]:
                if isinstance(event, h2.events.DataReceived):
                    answer += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    status.update(event.headers)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    if status["grpc-status"] != "0":
                        raise CallError(int(status["grpc-status"]), unquote(status.get("grpc-message", "")))
                    return answer[5:]
