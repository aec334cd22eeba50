"""Every link from the home page leads to something that is right."""

from itertools import count

import httpx
import pytest
from protego import Protego

from bench.crawl import HEADERS, crawl


def test_links_lead_to_answers_that_are_right(served: str) -> None:
    with httpx.Client(base_url=served, timeout=30) as client:
        statuses, wrong = crawl(client, most=300, each=2)
    assert wrong == []
    assert statuses[200] > 200
    assert set(statuses) <= {200, 302}


def test_what_is_wrong_is_told() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            return httpx.Response(200, html='<a href="/gone">x</a><img src="http://a.example/x">')
        return httpx.Response(404, html="<a href='javascript:x()'>x</a>")

    transport = httpx.MockTransport(answer)
    with httpx.Client(base_url="http://localhost", transport=transport) as client:
        statuses, wrong = crawl(client, most=10, each=2)
    assert statuses == {200: 1, 404: 1}
    told = " ".join(wrong)
    for fault in ("status 404", "no content-security-policy", "http://a.example/x", "javascript:"):
        assert fault in told


SOUND = dict.fromkeys(HEADERS, "x")


@pytest.mark.parametrize("link", ['href="/list?a={}"', 'rel="nofollow" href="/list/{}"'])
def test_a_polite_crawl_leaves_alone_what_it_should(link: str) -> None:
    numbers = count()

    def answer(request: httpx.Request) -> httpx.Response:
        html = f"<a href='/papers'>x</a><a {link.format(next(numbers))}>y</a>"
        return httpx.Response(200, html=html, headers=SOUND)

    transport = httpx.MockTransport(answer)
    with httpx.Client(base_url="http://localhost", transport=transport) as client:
        rules = Protego.parse("User-agent: *\nDisallow: /*?")
        assert crawl(client, most=10, rules=rules) == ({200: 2}, [])
        statuses, wrong = crawl(client, most=10, rules=Protego.parse(""))
    if "nofollow" in link:
        assert (statuses, wrong) == ({200: 2}, [])
    else:
        assert statuses == {200: 10}
        assert wrong[0].startswith("more than 10 addresses for crawlers")
