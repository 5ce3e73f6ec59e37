"""One WebSocket: opened, read in chunks, closed.

websocket-client reads a frame with three calls of `recv`. At thousands of trades a second that is most of the
cost, so the reader of frames here takes what the socket has, up to 64 kB at a time, and cuts the frames out of it.
The rest (handshake, pings, closing, fragments) stays websocket-client's.
"""

import struct
from collections.abc import Callable
from types import TracebackType

from websocket import (
    ABNF,
    STATUS_NORMAL,
    WebSocket,
    WebSocketException,
    WebSocketProtocolException,
    WebSocketTimeoutException,
    frame_buffer,
)

READ_TIMEOUT_S = 0.5  # how soon whoever reads a silent connection can look after other things
_CHUNK_BYTES = 65_536
_MAX_FRAME_BYTES = 16 * 2**20


class ConnectionLost(Exception):
    """Why a connection could not be opened, or ended."""


class Connection:
    """An open WebSocket, for the use of one thread."""

    def __init__(self, socket: WebSocket, frames: "ChunkedFrames") -> None:
        self._socket = socket
        self._frames = frames
        self._broken: Exception | None = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> list[bytes]:
        """All messages that are here, after waiting for the first; none when the wait took too long.

        Pings are answered on the way. Raises ConnectionLost, though not before the messages that came in one
        piece with the end have been given out.
        """
        if self._broken is not None:
            raise ConnectionLost(str(self._broken) or type(self._broken).__name__) from self._broken
        messages: list[bytes] = []
        try:
            while True:
                opcode, frame = self._socket.recv_data_frame(control_frame=True)
                if opcode == ABNF.OPCODE_CLOSE:
                    raise ConnectionLost(f"closed by the server {_close_reason(frame.data)}")
                if opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY):
                    messages.append(frame.data)
                if not self._frames.has_frame():
                    return messages
        except WebSocketTimeoutException:
            return messages
        except (WebSocketException, ConnectionLost, OSError) as error:
            self._broken = error
            return messages or self.read()

    def send(self, message: str) -> None:
        """Sends a text message. Raises ConnectionLost."""
        try:
            self._socket.send(message)
        except (WebSocketException, OSError) as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Says goodbye without waiting for the answer: whoever reads on has another connection by now."""
        try:
            if self._socket.connected:
                self._socket.send_close(STATUS_NORMAL)
        except (WebSocketException, OSError):
            pass  # it is gone already
        finally:
            self._socket.shutdown()  # type: ignore[no-untyped-call]  # websocket-client's


def connect(url: str, connect_timeout_s: float, read_timeout_s: float = READ_TIMEOUT_S) -> Connection:
    """Opens a WebSocket. read_timeout_s: how long `read` waits. Raises ConnectionLost."""
    # One thread uses it, and the JSON parser checks the encoding.
    socket = WebSocket(enable_multithread=False, skip_utf8_validation=True)
    frames = ChunkedFrames(socket.frame_buffer.recv)
    socket.frame_buffer = frames
    try:
        socket.connect(url, timeout=connect_timeout_s)  # type: ignore[no-untyped-call]  # websocket-client's
        socket.settimeout(read_timeout_s)
    except (WebSocketException, OSError, ValueError) as error:
        raise ConnectionLost(f"cannot connect: {error or type(error).__name__}") from error
    return Connection(socket, frames)


class ChunkedFrames(frame_buffer):
    """websocket-client's reader of frames (RFC 6455, section 5.2), with a buffer under it."""

    def __init__(self, recv: Callable[[int], bytes]) -> None:
        super().__init__(recv, skip_utf8_validation=True)
        self._buffer = b""
        self._at = 0

    def has_frame(self) -> bool:
        """Whether a whole frame is buffered, so that the next `recv_frame` does not touch the socket."""
        end = self._frame()[2]
        return 0 < end <= len(self._buffer)

    def recv_frame(self) -> ABNF:
        while True:
            opcode, start, end = self._frame()
            if 0 < end <= len(self._buffer):
                frame = ABNF(opcode >> 7, 0, 0, 0, opcode & 0x0F, 0, self._buffer[start:end])
                self._at = end
                if opcode & 0x7F > ABNF.OPCODE_BINARY:  # a control frame, a reserved bit or a reserved code
                    frame.rsv1, frame.rsv2, frame.rsv3 = opcode >> 6 & 1, opcode >> 5 & 1, opcode >> 4 & 1
                    frame.validate(skip_utf8_validation=True)
                return frame
            self._buffer, self._at = self._buffer[self._at :] + self.recv(_CHUNK_BYTES), 0

    def _frame(self) -> tuple[int, int, int]:
        """First byte, and where the payload of the next frame starts and ends; ends at 0 if that is not known."""
        buffer, at = self._buffer, self._at
        if len(buffer) < at + 2:
            return 0, 0, 0
        opcode, length = buffer[at], buffer[at + 1]
        if length < 126:
            return opcode, at + 2, at + 2 + length
        if length == 126:
            if len(buffer) < at + 4:
                return 0, 0, 0
            return opcode, at + 4, at + 4 + (buffer[at + 2] << 8 | buffer[at + 3])
        if length > 127:
            raise WebSocketProtocolException("the server masks its frames")
        if len(buffer) < at + 10:
            return 0, 0, 0
        (length,) = struct.unpack_from("!Q", buffer, at + 2)
        if length > _MAX_FRAME_BYTES:
            raise WebSocketProtocolException(f"a frame of {length} bytes")
        return opcode, at + 10, at + 10 + length


def _close_reason(data: bytes) -> str:
    if len(data) < 2:
        return "without a reason"
    return f"({int.from_bytes(data[:2], 'big')} {data[2:].decode(errors='replace')})".replace(" )", ")")
