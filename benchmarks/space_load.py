"""The demo under load, on loopback: answers lost or mixed up, memory, latency.

    python benchmarks/space_load.py --pid $(pgrep -f "space/app.py" | head -1) --address http://127.0.0.1:7860

Every request carries a simulated galaxy of its own under its own name; its answer must be the one that the same galaxy got when nobody
else was asking. Bounded: ``--requests`` in all from ``--users`` at once.
"""

import argparse
import io
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gradio_client import Client, handle_file

from galaxy_vision.simulation import simulate_galaxy

NUM_GALAXIES = 40


def memory_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def draw(folder: Path) -> list[Path]:
    paths = []
    for index in range(NUM_GALAXIES):
        file = io.BytesIO()
        simulate_galaxy(40, index).image.save(file, "JPEG", quality=90)
        paths.append(folder / f"galaxy-{index}.jpg")
        paths[-1].write_bytes(file.getvalue())
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:7860")
    parser.add_argument("--pid", type=int, required=True, help="process of the server, on this machine")
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--requests", type=int, default=400)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder))
        clients = [Client(args.address, verbose=False) for _ in range(args.users)]

        def ask(place: int) -> tuple[Path, dict | str, float]:
            path, start = paths[place % NUM_GALAXIES], time.perf_counter()
            try:
                said = clients[place % args.users].predict(handle_file(path), api_name="/describe")
            except Exception as error:  # whatever it is, it is a lost answer, and counted
                said = str(error)
            return path, said, time.perf_counter() - start

        alone = [ask(place) for place in range(NUM_GALAXIES)]
        truth = {path: said for path, said, _ in alone}
        print(f"alone: {statistics.median(seconds for *_, seconds in alone):.2f} s a prediction (median of {NUM_GALAXIES})")
        before, start, memory = memory_mib(args.pid), time.perf_counter(), []
        with ThreadPoolExecutor(args.users) as pool:
            answers = []
            for answer in pool.map(ask, range(args.requests)):
                answers.append(answer)
                memory.append(memory_mib(args.pid))
        wall = time.perf_counter() - start
    lost = [said for _, said, _ in answers if isinstance(said, str)]
    mixed = [path for path, said, _ in answers if isinstance(said, dict) and said["image"] != path.name]
    changed = [path for path, said, _ in answers if isinstance(said, dict) and said["class"] != truth[path]["class"]]
    waits = sorted(seconds for *_, seconds in answers)
    print(f"{args.requests} requests of {args.users} users: {len(lost)} lost, {len(mixed)} mixed up, {len(changed)} changed")
    print(f"{args.requests / wall:.1f} a second; wait: median {statistics.median(waits):.1f} s, longest {waits[-1]:.1f} s")
    print(f"memory: {before:.0f} MiB before, {memory[len(memory) // 2]:.0f} in the middle, {memory[-1]:.0f} at the end")
    print("\n".join(lost[:3]))


if __name__ == "__main__":
    main()
