"""The page before gradio's own script has built it: styles, script, header and a drop zone that works, in the HTML.

Gradio sends an empty page and fills it when its script has run, about two seconds later on two cores. Until then a
visitor sees, and may use, the same drop zone here: what is dropped is handed over when the real one has come.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

LOOK = Path(__file__).resolve().parent / "look"


def styles_and_script() -> str:
    """Return the styles and scripts of the page, for its head."""
    css = "\n".join(path.read_text() for path in sorted(LOOK.glob("*.css")))
    script = "\n".join(path.read_text() for path in sorted(LOOK.glob("*.js")))
    return f"<style>{css}</style>\n<script>{script}</script>\n"


class FirstPaint:
    """ASGI middleware that adds to the HTML of the page, and to nothing else.

    Args:
        app: that is wrapped.
        head: HTML for the end of the head.
        body: HTML for the beginning of the body.
    """

    def __init__(self, app, head: str, body: str):
        self.app, self.head, self.body = app, head.encode(), body.encode()

    async def __call__(self, scope: dict, receive: Callable[[], Awaitable], send: Callable[[dict], Awaitable]) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") != scope.get("root_path", "").rstrip("/"):
            await self.app(scope, receive, send)
            return
        start, parts = None, []

        async def hold(message: dict) -> None:
            """Keep the answer until it is complete, since its length changes."""
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                html = self._painted(start, b"".join(parts))
                headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                length = (b"content-length", str(len(html)).encode())
                await send(start | {"headers": [*headers, length]})
                await send({"type": "http.response.body", "body": html})

        await self.app(scope, receive, hold)

    def _painted(self, start: dict, html: bytes) -> bytes:
        headers = dict(start["headers"])
        is_page = start["status"] == 200 and headers.get(b"content-type", b"").startswith(b"text/html")
        if not is_page or b"content-encoding" in headers or b"<gradio-app" not in html:
            return html
        before, _, after = html.partition(b"<gradio-app")
        before = before.replace(b"</head>", self.head + b"</head>", 1)
        return before + self.body + b"<gradio-app" + after
