import json
import sys

import kill_training
from conftest import new_process


def kill_and_count(output: str) -> None:
    """Write the counts of one trial of one process and one of a pair to ``output``."""
    with open(output, "w") as sys.stdout:
        status = kill_training.main(["--trials", "1", "--pairs", "1"])
    sys.exit(status)


def test_a_run_that_is_killed_at_a_random_moment_ends_with_the_weights_of_a_quiet_one(tmp_path):
    process = new_process(kill_and_count, str(tmp_path / "counts"))  # forks many more of its kind
    process.start()
    process.join(900)
    process.kill()
    process.join()
    assert process.exitcode == 0
    counts = json.loads((tmp_path / "counts").read_text().splitlines()[-1])
    assert counts["kills"] == counts["restarts"] == 2
    assert counts["lost"] == 0
