"""A service answers to its own names alone, and to no page of another site."""

import pytest
from uniaudio_pipelines.checkpoint_to_service.hosts import Hosts
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Service

from tests.pipelines.checkpoint_to_service.test_hostile import post, told

OTHERS = ("evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]:8000", "8.8.8.8")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000"])
def test_names_of_loopback_are_known_to_every_service(host: str) -> None:
    assert Hosts(Service(model="tiny")).knows(host)
    assert Hosts(Service(model="tiny", host="10.0.0.7", key_file="key")).knows(host)


@pytest.mark.parametrize("host", OTHERS)
def test_other_names_are_unknown(host: str) -> None:
    assert not Hosts(Service(model="tiny")).knows(host)


def test_the_address_that_is_listened_on_and_the_names_that_are_given_are_known() -> None:
    bound = Hosts(Service(model="tiny", host="fd00::7", key_file="key", hosts="speech.example, Box"))
    known = ("[fd00::7]:8000", "speech.example", "speech.example:443", "box:8000")
    assert [host for host in known if not bound.knows(host)] == []
    assert not bound.knows("[fd00::8]") and not bound.knows("speech.example.evil.example")
    everywhere = Hosts(Service(model="tiny", host="0.0.0.0", key_file="key"))
    assert everywhere.knows("192.168.1.7:8080") and not everywhere.knows("evil.example")
    assert Hosts(Service(model="tiny", hosts="*")).knows("evil.example")


@pytest.mark.parametrize("path", ["/", "/health", "/v1/info", "/v1/tasks/tts"])
def test_a_name_of_a_stranger_is_refused_everywhere(service: Service, replica: Replica, path: str) -> None:
    response = post(service, replica, path, headers={"Host": "evil.example:8000"})
    assert "but is 'evil.example:8000'" in told(response, 421)


def test_a_page_of_another_site_cannot_make_the_service_work(service: Service, replica: Replica) -> None:
    form = {"data": {"text": "hello", "max_seconds": "0.2"}, "files": {"none": b""}}
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
        response = post(service, replica, "/v1/tasks/tts", headers={"Sec-Fetch-Site": site}, **form)
        assert response.status_code == status, response.text[:300]
