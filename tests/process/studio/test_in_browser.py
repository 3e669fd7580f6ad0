"""The page in Chromium: every view, its keyboard, its pictures, and records that attack it.

With OSS_VECTORS_PICTURES the pictures of docs/studio.md are made anew, in the folder that it names.
"""

import json
import os
import statistics
from pathlib import Path
from urllib.parse import quote

import pytest
from support.browser import Browser, require_chromium
from support.promises import sized
from support.served_page import serving_page
from support.studio_page import HIDDEN, HOSTILE, hostile_vectors
from support.watched_service import Watched

from oss_vector_retriever.client.models import Float32Array
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.records import ENVELOPE_KEYS, encode

pytestmark = pytest.mark.timeout(300)

PICTURED = ("index", "keys", "neighbours")
PICTURES = os.environ.get("OSS_VECTORS_PICTURES")
MANY = sized(2_000, 100_000)
# On a machine that others use as well a small index says nothing of time, and a bound must hold.
FIRST_VIEW_SECONDS = sized(10.0, 1.0)
REFERENCE = "/_studio/b/development-bucket/reference"
VIEWS = {
    "buckets": "/_studio",
    "index": REFERENCE,
    "filter": f"{REFERENCE}?filter={quote(json.dumps({'topic': {'$in': ['with', 'yield']}}))}",
    "keys": f"{REFERENCE}/keys?keys={quote(json.dumps(['with', 'no-such-topic', 'yield']))}",
    "neighbours": f"{REFERENCE}/near?key=with",
    "problem": f"{REFERENCE}?filter=%7Bbad",
    "absent": "/_studio/b/development-bucket/absent",
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_chromium()
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def endpoint(served):
    """Give the address of a service with real records, hostile ones, and many."""
    endpoint, client = served
    client = client.with_options(index="reference")
    client.put_vector_index(dimension=384, non_filterable_metadata_keys=ENVELOPE_KEYS)
    client.upsert(
        encode(
            passage.key,
            Float32Array.from_bytes(passage.data),
            text=passage.text,
            metadata=passage.metadata,
            filterable=("topic", "title"),
        )
        for passage in load_passages()
    )
    hostile = client.with_options(index="hostile")
    hostile.put_vector_index(dimension=2, non_filterable_metadata_keys=HIDDEN)
    hostile.upsert(hostile_vectors())
    many = client.with_options(index="many")
    many.put_vector_index(dimension=4, distance_metric="euclidean")
    many.upsert(
        {"key": f"doc-{n:06}", "data": [n, 1, 2, 3], "metadata": {"text": f"text {n}"}}
        for n in range(MANY)
    )
    return endpoint


def check_quiet(page, endpoint):
    """Fail if the page has said anything on its console, or asked anybody else."""
    assert page.messages == []
    assert page.dialogs == []
    assert page.asked
    assert [address for address in page.asked if not address.startswith(f"{endpoint}/")] == []


def open_details(page):
    """Open what is closed of the first record, and wait for what the frameworks make of it."""
    page.evaluate("for (const one of document.querySelectorAll('article:first-of-type details'))"
                  "    one.open = true")  # fmt: skip
    page.wait("document.querySelector('.pair-of h3')")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_is_shown_and_the_console_stays_empty(browser, endpoint, tmp_path, dark):
    folder = Path(PICTURES) if PICTURES else tmp_path
    with browser.page(dark=dark, height=860) as page:
        for name in sized(PICTURED if dark else VIEWS, VIEWS):
            page.open(endpoint + VIEWS[name])
            assert page.evaluate("document.querySelector('h1').innerText.trim()")
            if name in PICTURED:
                picture = folder / f"studio-{name}-{'dark' if dark else 'light'}.png"
                page.screenshot(picture)
                assert picture.stat().st_size > 5_000
            if name == "keys":
                open_details(page)
                assert "TextNode" in page.evaluate("document.querySelector('.pair-of').innerText")
        check_quiet(page, endpoint)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 200) == dark


def test_a_narrow_screen_scrolls_in_one_direction(browser, endpoint):
    with browser.page(width=360, height=740) as page:
        for path in sized([VIEWS["keys"], VIEWS["problem"]], VIEWS.values()):
            page.open(endpoint + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.open(endpoint + "/_studio/b/development-bucket/hostile?size=100")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        check_quiet(page, endpoint)


def test_the_page_is_used_by_links_and_forms_and_the_browser_goes_back(browser, endpoint):
    with browser.page() as page:
        page.open(f"{endpoint}/_studio")
        page.click(f"a[href='{REFERENCE}']")
        page.wait("document.querySelector('h1').innerText == 'reference'")
        assert page.evaluate("location.pathname") == REFERENCE
        assert page.evaluate("document.title").startswith("reference")
        page.click("a[rel=next]")
        page.wait("document.querySelector('.pager').innerText.includes('First page')")
        page.evaluate("history.back()")
        page.wait("!document.querySelector('.pager').innerText.includes('First page')")
        assert page.evaluate("document.querySelector('h1').innerText") == "reference"
        page.evaluate("document.querySelector('#filter').value = '{bad'")
        page.click("form.row button")
        page.wait("document.querySelector('#problem')")
        assert page.evaluate("document.activeElement.id") == "filter"
        assert page.evaluate("document.querySelectorAll('header.bar').length") == 1
        check_quiet(page, endpoint)


def test_the_keyboard_is_enough(browser, endpoint):
    with browser.page() as page:
        page.open(endpoint + REFERENCE)
        page.press("/")
        assert page.evaluate("document.activeElement.id") == "keys"
        page.type("with")
        page.press("/")  # within a field it is a letter
        assert page.evaluate("document.activeElement.value") == "with/"
        page.press("Escape")
        assert page.evaluate("document.activeElement == document.body")
        page.press("/")
        page.type("yield")  # what stood there was selected
        page.press("Enter")
        page.wait("document.querySelector('article')")
        assert page.evaluate("location.search") == "?keys=yield"
        assert page.evaluate("document.activeElement.tagName") == "H1"
        seen = []
        while "Copy as code" not in seen and len(seen) < 40:
            page.press("Tab")
            seen.append(page.evaluate("document.activeElement.innerText?.trim().split('\\n')[0]"))
            ring = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(ring) == "solid", seen[-1]
        order = ["Look up", "Neighbours", "Copy key", "The decode ladder", "Copy as code"]
        assert [one for one in seen if one in order] == order
        check_quiet(page, endpoint)


def test_what_is_copied_is_the_code(browser, endpoint):
    with browser.page() as page:
        page.open(endpoint + VIEWS["keys"])
        page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        page.evaluate("document.querySelector('details.copy').open = true")
        page.click("label[for=code-4]")
        page.click(".tab:nth-of-type(4) button")
        page.wait("window.copied")
        assert page.evaluate("window.copied").startswith("oss-vectors get-vectors --bucket")
        page.wait("document.querySelector('#status').innerText == 'Copied.'")
        shown = "[...document.querySelectorAll('.tab')].map((tab) => tab.offsetHeight > 0)"
        assert page.evaluate(shown) == [False, False, False, True]
        check_quiet(page, endpoint)


@pytest.mark.promise("P6", figure="24 hostile records inert in Chromium")
def test_hostile_records_are_inert_in_every_view(browser, endpoint):
    base = f"{endpoint}/_studio/b/development-bucket/hostile"
    with browser.page() as page:
        keys = [one["key"] for one in hostile_vectors()]
        everything = f"{base}/keys?keys={quote(json.dumps(keys))}"
        for address in (f"{base}?size=100", everything):
            page.open(address)
            page.evaluate(PROVOKE)
            check_inert(page, endpoint)
        assert page.evaluate("document.querySelectorAll('article').length") == len(keys)
        text = page.evaluate("document.querySelector('article pre.prose').innerText")
        assert text == HOSTILE["script"]
        for key in sized([keys[2], keys[18]], keys):
            page.open(f"{base}/near?key={quote(json.dumps([key]))}&k=30")
            page.evaluate(PROVOKE)
            check_inert(page, endpoint)


# everything is opened, and every element is told what could wake a script in an attribute
PROVOKE = """(async () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    for (const one of document.querySelectorAll("#view *"))
        for (const name of ["mouseover", "focus", "load", "error", "begin"])
            one.dispatchEvent(new Event(name));
    const waiting = () => [...document.querySelectorAll(".made")]
        .some((one) => !one.querySelector(".pair-of, .problem"));
    while (waiting()) await new Promise((done) => setTimeout(done, 20));
})()"""


def check_inert(page, endpoint):
    assert page.evaluate("window.pwned === undefined")
    foreign = "iframe, object, embed, img, base, #view script, #view style, #view meta, #view link"
    assert page.evaluate(f"document.querySelectorAll({json.dumps(foreign)}).length") == 0
    assert page.evaluate("document.querySelectorAll('header.bar').length") == 1
    check_quiet(page, endpoint)


def test_the_first_view_of_many_vectors_is_quick(browser, endpoint, figure):
    seconds = []
    for _ in range(sized(1, 5)):
        with browser.page() as page:
            address = f"{endpoint}/_studio/b/development-bucket/many"
            seconds.append(page.open(address, until="document.querySelector('.records .key')"))
            check_quiet(page, endpoint)
    figure(f"first view of {MANY:,} vectors: {statistics.median(seconds):.2f} s")
    # the machine may do something else meanwhile: the quickest is what the page takes
    assert min(seconds) <= FIRST_VIEW_SECONDS


@pytest.mark.promise("P6")
def test_another_site_can_lead_here_and_neither_frame_the_page_nor_read_it(
    browser, endpoint, caplog
):
    address = endpoint + REFERENCE
    with browser.page() as page:  # of an origin of its own, and without a policy
        page.evaluate(f"""new Promise((done) => {{
            const frame = document.createElement("iframe");
            frame.src = {json.dumps(address)};
            frame.onload = frame.onerror = done;
            document.body.append(frame);
        }})""")
        assert caplog.text.count("refused GET") == 1
        read = f"fetch({json.dumps(address)}, {{mode: 'no-cors'}}).then(() => 'read', () => 'no')"
        assert page.evaluate(read) == "no"
        assert caplog.text.count("refused GET") == 2
        page.evaluate(f"location = {json.dumps(address)}; 0")
        page.wait(f"location.href == {json.dumps(address)} && document.querySelector('.records')")
        assert caplog.text.count("refused GET") == 2


def test_the_key_of_the_page_is_taken_from_its_address_and_leaves_it(browser):
    with Watched.in_memory() as service, serving_page(service, token="a-b_c") as (endpoint, client):
        service.create_bucket(client.config.account_id, client.config.bucket)
        client.put_vector_index(dimension=2, index="notes")
        with browser.page() as page:
            page.open(f"{endpoint}/_studio")
            assert page.evaluate("document.querySelector('h1').innerText") == "This page is locked"
            for wrong_and_right in ("wrong", "a-b_c"):  # pasted into the address of the open page
                page.call("Page.navigate", url=f"{endpoint}/_studio#{wrong_and_right}")
                page.wait("location.hash == ''")
            page.wait("document.querySelector('h1').innerText == 'Buckets'")
            assert page.evaluate("location.href") == f"{endpoint}/_studio"
            page.click("a[href$='/notes']")
            page.wait("document.querySelector('h1').innerText == 'notes'")
            page.open(f"{endpoint}/_studio/b/development-bucket/notes")  # the tab remembers
            assert page.evaluate("document.querySelector('h1').innerText") == "notes"
            assert not any("a-b_c" in address for address in page.asked)
            check_quiet(page, endpoint)
