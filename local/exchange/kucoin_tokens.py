"""The tokens that KuCoin gives out for WebSocket connections."""

import secrets
import time
from collections.abc import Callable

from local.exchange.faults import Faults, TokenExpired


class Tokens:
    """Tokens with a life of life_s; the fault `token_expired` makes them expire early."""

    def __init__(self, life_s: float, faults: Faults, now_s: Callable[[], float] = time.monotonic) -> None:
        self._life_s, self._faults, self._now_s = life_s, faults, now_s
        self._expires_s: dict[str, float] = {}

    def give(self) -> str:
        """A new token."""
        now_s = self._now_s()
        self._expires_s = {t: at_s for t, at_s in self._expires_s.items() if at_s > now_s}
        token = secrets.token_urlsafe(48)
        self._expires_s[token] = (
            now_s if self._faults.use(TokenExpired, exchange="kucoin") else now_s + self._life_s
        )
        return token

    def expire_all(self) -> None:
        """Every token given out so far is expired."""
        self._expires_s.clear()

    def valid(self, token: str) -> bool:
        """Whether a token opens a connection now."""
        return self._expires_s.get(token, 0.0) > self._now_s()
