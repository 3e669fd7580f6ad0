"""`Studio`: the page as an ASGI application, and what it lets in.

A navigation brings the shell: one document, the same for every address, without any data. Its
script then asks for the view of that address by a request of its own, and only what a browser says
to come from the page itself (`Sec-Fetch-Site: same-origin`) is answered with data. So another site
may lead a browser here, and gets nothing: it cannot frame the page, read it, or hold on to it.
"""

import asyncio
import hmac
import logging
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ..client.clients import AsyncOSSVectorClient
from ..client.errors import CONTROLS, OSSVectorError, escape_controls
from ..client.models import dump
from ..client.models.messages import Reply
from ..emulator.http.admission import Admission, is_loopback
from ..emulator.http.application import FORWARDED, STUDIO_PATH
from ..records import query_of
from .views import BadInputError, Query, Shown, Views, describe_problem

TOKEN_HEADER: Final = "x-studio-token"  # noqa: S105 - the name alone

_FOLDER: Final = Path(__file__).parent
_HEADERS: Final = {
    # no inline script or style, nothing from elsewhere: what a record holds stays text
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # who has opened the page keeps no hold on its window
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    # one address is the shell to a navigation and the view to the script
    "Vary": "HX-Request, Sec-Fetch-Site",
}
_TEXT_SHOWN: Final = 240  # characters of a text in a table

logger = logging.getLogger(__name__)


class Studio:
    """The page over one client, for any ASGI server that listens on this machine.

    It is heard by a loopback name and address alone, answers GET and HEAD, and calls no operation
    that writes. The client stays the caller's to close, on the event loop that served the page.

    Args:
        client: what the page shows: its account's buckets in its region. One that names no bucket
            will do.
        path: where the page is, such as `/_studio`.
        text_key: a further metadata field to look for text in.
        token: what the page must say to get data: a secret that its user has from the fragment of
            the address, `http://127.0.0.1:9001/_studio#token`. None: everybody on this machine who
            finds the port may look.
        is_at_service: whether the server that shows the page is the service itself, whose address
            copied code then names.
    """

    def __init__(
        self,
        client: AsyncOSSVectorClient,
        *,
        path: str = STUDIO_PATH,
        text_key: str | None = None,
        token: str | None = None,
        is_at_service: bool = False,
    ) -> None:
        self.path = path.rstrip("/")
        self._views = Views(client, text_key, is_at_service)
        self._token = token
        self._admission = Admission()
        self._templates = _load_templates(self.path)
        place = client.config.endpoint.authority
        self._shell = self._templates.get_template("shell.html").render(root=self.path)
        self._common = {"root": self.path, "place": None if is_at_service else place}
        static = Mount(f"{self.path}/static", StaticFiles(directory=_FOLDER / "static"))
        # the root without its slash as well, and without a redirect: an address is typed
        paths = ["", "/", "/b/{bucket}", "/b/{bucket}/{index}", "/b/{bucket}/{index}/{view}"]
        routes = [Route(self.path + path, self._answer) for path in paths if self.path + path]
        self._application = Starlette(routes=[static, *routes])
        # one address for each view; and no answer that names another
        self._application.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"the page does not speak {scope['type']}")
        request = Request(scope)
        reason = self._reason_to_refuse(request)
        if reason is not None:
            # without the query, in which a key may stand
            logger.warning("refused %s %s: %s", request.method, ascii(scope["path"][:80]), reason)
            await PlainTextResponse(f"{reason}\n", 403, _HEADERS)(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower().encode(): value.encode() for name, value in _HEADERS.items()}
                others = [pair for pair in message["headers"] if pair[0].lower() not in own]
                message = {**message, "headers": [*others, *own.items()]}
            await send(message)

        await self._application(scope, receive, send_with_headers)

    def refuse(self, code: str, detail: str) -> Reply:
        """Return the reply to what is no request at all."""
        return Reply(400, dict(_HEADERS), f"{code}: {detail}\n".encode())

    def _reason_to_refuse(self, request: Request) -> str | None:
        """Return why a request is refused, or None for one that is let in."""
        client = request.client.host if request.client else None
        try:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        except ValueError:  # an IPv6 address that is never closed
            host = None
        # a proxy or a tunnel on this machine speaks for others
        forwarded = FORWARDED.intersection(request.headers)
        if not is_loopback(client) or not is_loopback(host) or forwarded:
            return "This page is shown on its own machine alone, as localhost or 127.0.0.1."
        target = request.scope.get("raw_path") or request.url.path.encode()
        headers = request.scope["headers"]
        if _is_navigation(request):  # of whatever page: it gets the shell
            headers = [pair for pair in headers if pair[0].lower() != b"sec-fetch-site"]
        return self._admission.reason_to_refuse(headers, target)

    async def _answer(self, request: Request) -> Response:
        """Return the view for the page's own script, and the shell for everybody else."""
        said = [request.headers.get(name) for name in ("sec-fetch-site", "hx-request")]
        if said != ["same-origin", "true"]:
            return HTMLResponse(self._shell)
        given, token = request.headers.get(TOKEN_HEADER, ""), self._token
        if token is not None and not hmac.compare_digest(given.encode(), token.encode()):
            shown = Shown("locked.html", {})
        else:
            origin = f"http://{request.headers['host']}"
            shown = await self._look(request.query_params, origin, **request.path_params)
        # a hundred large records take a tenth of a second, in which `serve` has others to answer
        return HTMLResponse(await asyncio.to_thread(self._render, shown))

    async def _look(self, query: Query, origin: str, **names: str) -> Shown:
        """Return a view, or the sentence that says why there is none."""
        try:
            return await self._views.show(query, origin, **names)
        except (BadInputError, OSSVectorError) as error:
            given = {name: query.get(name, "") for name in ("filter", "key", "keys")}
            place = {"bucket": None, "index": None, "view": "", **names}
            return Shown("problem.html", {**describe_problem(error), "given": given, **place})

    def _render(self, shown: Shown) -> bytes:
        template = self._templates.get_template(shown.template)
        text = template.render(**self._common, **shown.values)
        # half of a surrogate pair can stand in a key, and in no UTF-8; `show` has escaped others
        return text.encode(errors="replace")


def _is_navigation(request: Request) -> bool:
    """Tell whether a browser shows the answer in a window of its own, and in no frame."""
    wanted = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    return request.method == "GET" and all(
        request.headers.get(name) == value for name, value in wanted.items()
    )


@cache  # compiling them takes as long as some hundred views
def _load_templates(root: str) -> Environment:
    loader = FileSystemLoader(_FOLDER / "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "show": show_controls,
        "plain": lambda value: escape_controls(str(value)),  # where no element can stand
        "part": _quote_part,
        "key_query": lambda key: query_of([key]),
        "brief": _shorten,
        "json": _write_json,
        "number": _write_number,
        "whole": lambda value: f"{value:,}",
        "day": lambda moment: moment.strftime("%Y-%m-%d %H:%M") if moment else "",
    }
    environment.globals["root"] = root
    # read and compiled now: a view must not wait for files on the event loop
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def show_controls(value: object) -> Markup:
    """Return a text for HTML in which what cannot be seen, such as a turn of direction, is."""
    text, parts, at = str(value), [], 0
    for found in CONTROLS.finditer(text):
        parts.append(escape(text[at : found.start()]))
        code = f"\\u{ord(found[0]):04x}"
        parts.append(Markup('<span class="control">{}</span>').format(code))
        at = found.end()
    parts.append(escape(text[at:]))
    return Markup("").join(parts)


def _quote_part(value: object) -> str:
    return quote_url(str(value), safe="", errors="replace")


def _shorten(value: object, limit: int = _TEXT_SHOWN) -> str:
    text = " ".join(str(value)[: limit * 2].split())
    return text if len(text) <= limit else f"{text[:limit].rstrip()}\u2026"


def _write_json(value: object) -> str:
    try:
        return dump(value)
    except (TypeError, ValueError):  # a date or a NaN, which came back as it was
        return repr(value)


def _write_number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"
