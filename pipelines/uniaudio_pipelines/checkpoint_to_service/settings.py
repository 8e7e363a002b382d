"""How a model is served, and within which limits."""

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_json

APPLICATION, GATEWAY, MODEL = "uniaudio", "Gateway", "Model"
"""Names within Ray Serve."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What is refused with one sentence instead of being tried."""

    upload_bytes: int = 25_000_000
    """The most that the body of a request may hold; more is 413. OpenAI's own limit."""
    held_bytes: int = 200_000_000
    """The most that the bodies of all requests that are being answered may hold together; more is 429."""
    input_s: float = 120.0
    """Seconds of audio given, all clips of a request together, each counted as 0.4 or more; more is 413."""
    answer_s: float = 60.0
    """Most seconds of audio that a request may ask for; more is 400."""
    answer_text: int = 2048
    """Most text ids that a request may ask for; more is 400."""
    prompt_text: int = 8192
    """Characters of all texts of a request; more is 400."""
    waiting: int = 32
    """Requests that may wait behind those that have a row, what they send included; one more is 429."""
    request_s: float = 300.0
    """Seconds until a request that has not arrived is given up with 408, and an answer that is not done with 503."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise UsageError(f"`{name}` must be above 0, but is {value}.")
        if self.held_bytes < self.upload_bytes:
            raise UsageError(
                f"`held_bytes` must be `upload_bytes` ({self.upload_bytes}) or more, but is {self.held_bytes}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One model at one address."""

    model: str
    """A model's folder, or a store with a checkpoint."""
    host: str = LOOPBACK
    """Address to listen on; any but loopback wants a key."""
    port: int = 8000
    key_file: str = ""
    """A file with the key that requests must bear; empty asks for none. Never the key itself: settings show in Ray's dashboard."""
    hosts: str = ""
    """Other names by which the service is asked, with commas between, such as that of a proxy before it; `*` stands for any."""
    device: str = "cpu"
    """Where replicas compute: `cpu`, or `cuda` with one GPU each."""
    num_replicas: int = 1
    num_cpus: float = 1.0
    """CPU cores that a replica reserves, and the threads that it computes with."""
    num_rows: int = 8
    """Answers that are written at once by one replica; one with guidance takes two rows."""
    compiles: bool = False
    """Whether answers are written by machine code, as `uniaudio run --compile`."""
    voices: str = ""
    """A folder of clips, NAME.wav …: voices of `POST /v1/audio/speech` beside `default`."""
    reload_s: float = 5.0
    """Seconds between looks at whether another model lies there; 0 never looks."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"`port` must lie in 0 … 65535, but is {self.port}.")
        if self.num_replicas < 1 or self.num_rows < 2:
            raise UsageError(
                "`num_replicas` must be 1 or more and `num_rows` 2 or more, but they are "
                f"{self.num_replicas} and {self.num_rows}."
            )
        if not self.reload_s >= 0:
            raise UsageError(f"`reload_s` must be 0 or more, but is {self.reload_s}.")
        if not self.key_file and not is_loopback(self.host):
            raise UsageError(f"`host` {self.host} can be reached by others: `key_file` must name a file with a key.")

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    def check_files(self) -> None:
        """UsageError where the key or the folder of voices is not there."""
        self.read_key()
        if self.voices and not Path(self.voices).is_dir():
            raise UsageError(f"`voices` must be a folder, but {self.voices} is none.")

    def read_key(self) -> str:
        """The key that requests must bear; empty where none is asked for. UsageError where its file holds none."""
        if not self.key_file:
            return ""
        try:
            key = Path(self.key_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(f"`key_file` {self.key_file} cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"`key_file` {self.key_file} must be a text in UTF-8, but is not.") from error
        if not key:
            raise UsageError(f"`key_file` {self.key_file} must hold a key, but is empty.")
        return key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def service_of(data: bytes) -> Service:
    """Settings as JSON that `Service.to_plain` gave."""
    return from_json(Service, data, "--service")
