"""Frames are cut out of whatever pieces the socket gives."""

import base64
import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websocket import ABNF, WebSocketProtocolException, WebSocketTimeoutException

from producer.connection import ChunkedFrames, Connection, ConnectionLost, connect

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


def frame(payload: bytes, first_byte: int = TEXT) -> bytes:
    if len(payload) < 126:
        return bytes([first_byte, len(payload)]) + payload
    if len(payload) < 65_536:
        return bytes([first_byte, 126]) + struct.pack("!H", len(payload)) + payload
    return bytes([first_byte, 127]) + struct.pack("!Q", len(payload)) + payload


def pieces(stream: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    at = 0
    while at < len(stream):
        size = next(sizes)
        yield stream[at : at + size]
        at += size


@pytest.mark.parametrize("seed", range(20))
def test_frames_of_every_length_survive_any_split(seed: int) -> None:
    chance = random.Random(seed)
    payloads = [chance.randbytes(length) for length in (0, 1, 125, 126, 127, 65_535, 65_536, 300)]
    chance.shuffle(payloads)
    stream = b"".join(map(frame, payloads))
    parts = pieces(stream, iter(lambda: chance.choice([1, 2, 3, 1000, 65_536]), None))
    frames = ChunkedFrames(lambda _: next(parts))
    assert [frames.recv_frame().data for _ in payloads] == payloads
    assert not frames.has_frame()


def test_a_time_out_in_the_middle_of_a_frame_loses_nothing() -> None:
    parts: list[bytes | None] = [frame(b"first")[:4], None, frame(b"first")[4:] + frame(b"second")]

    def recv(size: int) -> bytes:
        part = parts.pop(0)
        if part is None:
            raise WebSocketTimeoutException("nothing came")
        return part

    frames = ChunkedFrames(recv)
    with pytest.raises(WebSocketTimeoutException):
        frames.recv_frame()
    assert frames.recv_frame().data == b"first"
    assert frames.has_frame()
    assert frames.recv_frame().data == b"second"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (bytes([TEXT, 0x85]) + b"maskhello", "masks"),
        (bytes([TEXT, 127]) + struct.pack("!Q", 2**40), "1099511627776 bytes"),
        (frame(b"x", 0xC1), "rsv"),
        (frame(b"x", 0x83), "opcode"),
    ],
)
def test_what_is_no_frame_of_a_server_is_refused(stream: bytes, reason: str) -> None:
    with pytest.raises(WebSocketProtocolException, match=reason):
        ChunkedFrames(lambda _: stream).recv_frame()


@contextmanager
def server(answer: bytes) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection to a server that has sent this after the handshake, and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends: list[socket.socket] = []

        def serve() -> None:
            end, _ = listener.accept()
            request = b""
            while b"\r\n\r\n" not in request:
                request += end.recv(4096)
            key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            end.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept(key) + b"\r\n\r\n" + answer
            )
            ends.append(end)

        thread = threading.Thread(target=serve)
        thread.start()
        connection = connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", 5, 0.2)
        thread.join()
        with connection, ends[0]:
            yield connection, ends[0]


def accept(key: bytes) -> bytes:
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
    return base64.b64encode(hashlib.sha1(key + guid, usedforsecurity=False).digest())


def sent_by_client(end: socket.socket) -> tuple[int, bytes]:
    """First byte and payload of a short frame from the client."""
    head = end.recv(6, socket.MSG_WAITALL)
    masked = end.recv(head[1] & 0x7F, socket.MSG_WAITALL)
    return head[0], bytes(byte ^ head[2 + place % 4] for place, byte in enumerate(masked))


def test_all_messages_that_are_here_are_read_at_once_and_pings_are_answered_on_the_way() -> None:
    with server(frame(b"one") + frame(b"are you there", PING) + frame(b"two") + frame(b"thr", 0x01)) as (it, end):
        assert it.read() == [b"one", b"two"]
        assert sent_by_client(end) == (PONG, b"are you there")
        end.sendall(frame(b"ee", 0x80))
        assert it.read() == [b"three"]
        assert it.read() == []  # after the time-out


def test_messages_that_came_with_the_end_are_read_before_it_is_told() -> None:
    with server(frame(b"one") + frame(struct.pack("!H", 1001) + b"moving", CLOSE)) as (it, _):
        assert it.read() == [b"one"]
        with pytest.raises(ConnectionLost, match=r"closed by the server \(1001 moving\)"):
            it.read()
        with pytest.raises(ConnectionLost, match="1001"):
            it.read()


def test_an_end_without_goodbye_is_told() -> None:
    with server(frame(b"one")) as (it, end):
        end.shutdown(socket.SHUT_WR)
        assert it.read() == [b"one"]
        with pytest.raises(ConnectionLost, match="lost"):
            it.read()


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost, match=r"cannot connect: .*refused"):
        connect(f"ws://127.0.0.1:{port}/", 1, 1)


def test_websocket_client_still_has_what_the_reader_of_frames_replaces() -> None:
    plain = ABNF(1, 0, 0, 0, ABNF.OPCODE_TEXT, 0, b"x")
    ours = ChunkedFrames(lambda _: frame(b"x")).recv_frame()
    assert vars(ours) | {"get_mask_key": None} == vars(plain) | {"get_mask_key": None}
