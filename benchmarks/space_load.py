"""Measure the demo on loopback: first paint in a browser, one prediction, and many users at the same time.

    pip install -e ".[browser]" && python benchmarks/space_load.py --browser $(command -v chromium)

Starts the server itself, with the models of ``checkpoints/`` or of the environment. Under load every request has a
simulated galaxy with its own name, and its answer must be identical to the answer for the same galaxy without load.
Resident memory of the server is read after every answer; it is flat if the last tenth is near the first tenth.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gradio_client import Client, handle_file

from galaxy_vision.simulation.render import simulate_galaxy

APP = Path(__file__).parent.parent / "space" / "app.py"
NUM_GALAXIES = 40
PAINTS = """() => {
  const [first] = performance.getEntriesByName('first-contentful-paint');
  return first ? first.startTime : null;
}"""
SHIFTS = """new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.shift = (window.shift || 0) + entry.value;
}).observe({type: 'layout-shift', buffered: true});"""


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def start(folder: Path) -> tuple[subprocess.Popen, str]:
    """Start the server on a free port and return (process, address) once it listens."""
    environment = os.environ | {"PYTHONPATH": str(APP.parent.parent), "GRADIO_TEMP_DIR": str(folder)}
    environment |= {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(APP), "--host", "127.0.0.1"]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    while process.poll() is None:
        if address := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return process, address[0]
        time.sleep(0.1)
    raise SystemExit(log.read_text())


def paint(address: str, chromium: str, visits: int) -> None:
    """Print the seconds from navigation to the first paint, the drop field and the answer about the first example."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seconds = []
        for _ in range(visits):
            page = browser.new_page(viewport={"width": 1280, "height": 900})  # with an empty cache
            page.add_init_script(SHIFTS)
            begin = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_selector(".gv-drop")
            useful = time.perf_counter() - begin
            page.wait_for_selector(".gv-class")
            answered = time.perf_counter() - begin
            seconds.append((page.evaluate(PAINTS) / 1000, useful, answered, page.evaluate("window.shift || 0")))
            page.close()
        browser.close()
    first, useful, answered, shift = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(
        f"page, median of {visits} visits with an empty cache: first paint {first:.2f} s, drop field {useful:.2f} s, "
        f"first answer {answered:.2f} s, layout shift {shift:.3f}"
    )


def draw(folder: Path) -> list[Path]:
    """Draw the simulated galaxies into ``folder`` and return their paths."""
    paths = [folder / f"galaxy-{index}.jpg" for index in range(NUM_GALAXIES)]
    for index, path in enumerate(paths):
        simulate_galaxy(40, index).image.save(path, quality=90)
    return paths


def load(address: str, pid: int, users: int, requests: int, folder: Path) -> None:
    """Print waits, wrong answers and memory of ``requests`` requests by ``users`` users at the same time."""
    paths = draw(folder)
    clients = [Client(address, verbose=False) for _ in range(users)]

    def ask(number: int) -> tuple[Path, dict | str, float, float]:
        """Return path, answer (a string if it is an error), seconds and memory of request ``number``."""
        path, begin = paths[number % NUM_GALAXIES], time.perf_counter()
        try:
            answer = clients[number % users].predict(handle_file(path), api_name="/describe")
        except Exception as error:  # of any kind: the answer is lost, and counted as such
            answer = f"{type(error).__name__}: {error}"
        return path, answer, time.perf_counter() - begin, memory_mib(pid)

    alone = [ask(number) for number in range(NUM_GALAXIES)]
    truth = {path: answer for path, answer, *_ in alone}
    if errors := [answer for answer in truth.values() if isinstance(answer, str)]:
        raise SystemExit(errors[0])
    different = len({str({**answer, "image": ""}) for answer in truth.values()})
    waits = sorted(seconds for _, _, seconds, _ in alone[1:])
    print(
        f"alone: {statistics.median(waits):.2f} s a prediction (median; slowest {waits[-1]:.2f}); "
        f"{different} different answers"
    )
    begin = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        answers = list(pool.map(ask, range(requests)))
    wall = time.perf_counter() - begin
    lost = [answer for _, answer, *_ in answers if isinstance(answer, str)]
    mixed = [path for path, answer, *_ in answers if isinstance(answer, dict) and answer["image"] != path.name]
    changed = [path for path, answer, *_ in answers if isinstance(answer, dict) and answer != truth[path]]
    waits, tenth = sorted(seconds for _, _, seconds, _ in answers), max(1, requests // 10)
    first, last = (statistics.mean(mib for *_, mib in rows) for rows in (answers[:tenth], answers[-tenth:]))
    print(
        f"{requests} requests of {users} users: {len(lost)} lost, {len(mixed)} mixed up, "
        f"{len(changed)} different from the answer without load"
    )
    print(f"{requests / wall:.1f} a second; wait: median {statistics.median(waits):.1f} s, longest {waits[-1]:.1f} s")
    print(f"memory: {alone[-1][-1]:.0f} MiB before, {first:.0f} in the first tenth, {last:.0f} in the last")
    print("\n".join(lost[:3]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--browser", help="path of a Chromium; without it painting is not measured")
    parser.add_argument("--visits", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, address = start(Path(folder))
        try:
            load(address, process.pid, args.users, args.requests, Path(folder))
            if args.browser:
                paint(address, args.browser, args.visits)
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
