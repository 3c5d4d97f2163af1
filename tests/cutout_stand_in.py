"""Services of cut-outs on loopback, which answer as those of SDSS, the Legacy Surveys, hips2fits and CDS do."""

import io
import threading
from collections import Counter
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

VARIABLES = {
    "GALAXY_VISION_SDSS_URL": "/dr17/SkyServerWS/ImgCutout/getjpeg",
    "GALAXY_VISION_LEGACY_URL": "/viewer/jpeg-cutout",
    "GALAXY_VISION_HIPS2FITS_URL": "/hips-image-services/hips2fits",
    "GALAXY_VISION_SESAME_URL": "/cgi-bin/nph-sesame/",
}
SESAME = "# NGC 5457\n#=Sc=Simbad (via url)\n%C.0 GiP\n%J 210.80242 +54.34875 = 14:03:12.58 +54:20:55.5\n#====Done\n"
"""What CDS answers for M 101, shortened."""


@lru_cache
def galaxy(side: int, radius: float) -> bytes:
    """A JPEG of a smooth galaxy of this effective radius in px, in noise."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = np.exp(-1.678 * np.hypot(x, y / 0.8) / max(radius, 0.1))
    light = 230 * np.arcsinh(100 * light) / np.arcsinh(100)  # the stretch of SDSS, roughly
    noise = np.random.default_rng(0).normal(8, 3, (side, side))
    pixels = np.clip((light + noise)[..., None] * (1, 0.9, 0.7), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


class Sky(ThreadingHTTPServer):
    """The state of the stand-in.

    Attributes: ``faults``, (ra, dec) rounded to .01 deg -> answers to give there, one a request: ``404``, ``429``,
    ``500``, ``html``, ``empty``, ``truncated``, ``blank``; the last is given for ever if it ends with ``!``.
    ``requests``, what was asked; ``answered``, how often each was answered by an image; ``most_at_once``.
    """

    daemon_threads = True

    def __init__(self, radius: float = 5.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.radius, self.faults, self.requests, self.answered = radius, {}, [], Counter()
        self.agents, self.at_once, self.most_at_once, self.lock = set(), 0, 0, threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def variables(self) -> dict[str, str]:
        return {name: self.url + path for name, path in VARIABLES.items()}

    def fault(self, ra: float, dec: float) -> str | None:
        with self.lock:
            waiting = self.faults.get((round(ra, 2), round(dec, 2)), [])
            if not waiting:
                return None
            return waiting[0][:-1] if waiting[0].endswith("!") else waiting.pop(0)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, body: bytes, kind: str = "image/jpeg", length: int | None = None, **headers) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append(self.path)
            server.agents.add(self.headers.get("User-Agent", ""))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self.give()
        finally:
            with server.lock:
                server.at_once -= 1

    def give(self) -> None:
        address = urlsplit(self.path)
        if address.path.startswith("/cgi-bin/nph-sesame"):
            known = "5457" in address.query
            return self.answer(200, (SESAME if known else "#! *** Nothing found *** \n").encode(), "text/plain")
        if address.path not in VARIABLES.values():
            return self.answer(404, b"no such service", "text/plain")
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        side = int(asked.get("width") or asked["size"])
        width = float(asked["fov"]) * 3600 if "fov" in asked else side * float(asked.get("scale") or asked["pixscale"])
        fault = self.server.fault(float(asked["ra"]), float(asked["dec"]))
        image = galaxy(side, self.server.radius * side / width)
        if fault == "404":
            return self.answer(404, b"<html>Not Found</html>", "text/html")
        if fault == "429":
            return self.answer(429, b"slow down", "text/plain", Retry_After="1")
        if fault == "500":
            return self.answer(500, b"Server Error", "text/plain")
        if fault == "html":
            return self.answer(200, b"<html><h1>Sorry, the database is down</h1></html>", "text/html")
        if fault == "empty":
            return self.answer(200, b"")
        if fault == "truncated":
            self.close_connection = True
            return self.answer(200, image[: len(image) // 2], length=len(image))
        if fault == "blank":
            file = io.BytesIO()
            Image.new("RGB", (side, side), (32, 32, 32)).save(file, "JPEG")
            return self.answer(200, file.getvalue())
        with self.server.lock:
            self.server.answered[self.path] += 1
        return self.answer(200, image)
