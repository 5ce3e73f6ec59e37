"""What the demo reads from the environment, once."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

Port = Annotated[int, Field(ge=1, le=65535)]


class DemoSettings(BaseSettings):
    """Settings of the local runtime, by the names in `.env.example`.

    Raises pydantic's ValidationError, which names the variable, where a value is bad.
    """

    cache_dir: Path = Path(".state/cache")
    ivy_settings: Path | None = None
