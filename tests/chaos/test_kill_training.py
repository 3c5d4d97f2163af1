import json
import subprocess
import sys

from conftest import REPOSITORY


def test_a_run_that_is_killed_at_a_random_moment_ends_with_the_weights_of_a_quiet_one():
    command = [
        sys.executable,
        str(REPOSITORY / "tests" / "chaos" / "kill_training.py"),
        "--trials",
        "1",
        "--pairs",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["kills"] == counts["restarts"] == 2
    assert counts["lost"] == 0
