"""The front page and the reference, in a real browser with the network cut off and as they are served."""

import re
import subprocess

import httpx


def test_the_reference_shows_every_operation_without_the_internet(service, look):
    page = look(f"{service.base_url}/docs".replace("//docs", "/docs"))
    page.wait_for_selector(".opblock")
    document = service.get("/openapi.json").json()
    wanted = sum(len(item) for item in document["paths"].values())
    assert page.locator(".opblock").count() == wanted
    shown = page.locator(".opblock-summary-path").evaluate_all("all => all.map(one => one.dataset.path)")
    assert set(shown) == set(document["paths"])
    assert "Failed to load" not in page.content()


def test_the_front_page_is_dressed_and_shows_where_to_begin(service, look):
    page = look(str(service.base_url))
    assert page.get_by_role("heading", name="Neural networks from JSON").is_visible()
    assert f"curl {service.base_url}".rstrip("/") in page.content()
    assert "{{" not in page.content()


def test_everything_that_the_pages_name_is_served_here_and_for_good(service):
    for path in ("/", "/docs", "/lab"):
        page = service.get(path, headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        named = re.findall(r'(?:src|href)="([^"#][^"]*)"', page.text)
        assert named
        for address in named:
            assert address.startswith("/"), address
            found = service.get(address, headers={"accept": "*/*"})
            assert found.status_code == 200, address
            if address.startswith("/static/"):
                assert "immutable" in found.headers["cache-control"]


def test_no_page_allows_a_script_from_elsewhere_or_inside_it(service):
    for path in ("/", "/docs", "/lab"):
        page = service.get(path, headers={"accept": "text/html"})
        policy = policy_of(page)
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
        assert not re.search(r"\son[a-z]+=", page.text)
        assert "http://" not in page.text.replace(str(service.base_url).rstrip("/"), "")
        assert "https://" not in page.text


def policy_of(page: httpx.Response) -> dict[str, str]:
    parts = page.headers["content-security-policy"].split(";")
    return dict(part.strip().partition(" ")[::2] for part in parts)


def test_the_front_page_is_json_for_a_program(service):
    for accept in ("*/*", "application/json", None):
        response = service.get("/", headers={"accept": accept} if accept else None)
        assert response.json()["links"]["reference"] == "/docs"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
    assert "<html" in service.get("/", headers={"accept": browser}).text


def test_the_lines_on_the_front_page_work(service):
    page = service.get("/", headers={"accept": "text/html"}).text
    base = str(service.base_url).rstrip("/")
    lines = [text.replace("&quot;", '"') for text in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)]
    assert len(lines) == 3
    for line in lines:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert '"code"' not in done.stdout, done.stdout
        assert base in line
    assert done.stdout.startswith("Sequential(")
    assert service.delete("/v1/networks/first").status_code == 204
