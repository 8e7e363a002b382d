"""By which names a service may be asked. A page of a stranger can give its own name the address of this machine; a browser then lets it
read what the service answers, and nothing but the `Host` header tells.

    Hosts(Service(model="mine", hosts="speech.example")).knows("speech.example:443")     -> True
"""

from collections.abc import Sequence
from ipaddress import ip_address

from uniaudio_pipelines.checkpoint_to_service.settings import Service, is_loopback

ANY = "*"


class Hosts:
    """Loopback, the address that is listened on, and the names of `Service.hosts`."""

    def __init__(self, service: Service) -> None:
        given = [name.strip() for name in service.hosts.split(",") if name.strip()]
        self._names = {_name_of(name) for name in (_bracketed(service.host), *given)}
        self._takes_any, self._takes_addresses = ANY in given, _is_everywhere(service.host)

    def knows(self, host: str) -> bool:
        """Whether the header `host` names this service, at whatever port."""
        name = _name_of(host)
        # Who listens on all addresses is asked by one of them: an address cannot be given away as a name can.
        is_own = name in self._names or is_loopback(name) or (self._takes_addresses and _is_address(name))
        return self._takes_any or is_own

    def refusal(self, given: Sequence[bytes]) -> tuple[int, str] | None:
        """Status and sentence for the `Host` headers of a request; None where they are right."""
        if len(given) != 1:
            return 400, f"A request must have one `Host` header, but has {len(given)}."
        host = given[0].decode("latin-1")
        if self.knows(host):
            return None
        return 421, f"`Host` must be an address or a name of this service (its setting `hosts`), but is {host!r}."


def _name_of(host: str) -> str:
    """The name in a header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_everywhere(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_unspecified
