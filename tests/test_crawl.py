"""Every link from the home page leads to something that is right."""

import httpx

from bench.crawl import crawl


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
