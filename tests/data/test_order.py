"""The order of the training rows is that of ``train_one_epoch`` and the README, also in resumed runs."""

import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import set_seed
from datasets import Dataset

from galaxy_vision.data.batches import make_loader
from galaxy_vision.runtime.accelerator import make_accelerator

KNOWN = {  # (seed, epoch) -> torch.randperm(10) with a generator of the seed plus the epoch
    (0, 0): [4, 1, 7, 5, 3, 9, 0, 8, 6, 2],
    (0, 1): [5, 6, 1, 2, 0, 8, 9, 3, 7, 4],
    (3, 0): [6, 0, 3, 7, 8, 5, 1, 9, 2, 4],
    (3, 1): [0, 4, 9, 6, 7, 3, 2, 8, 1, 5],
}


def loader_of(seed: int, tmp_path, process: int, processes: int):
    """Return batches of 2 of 10 rows, as a run with this seed prepares them for one of its processes."""
    accelerator = make_accelerator("no", 1, None, tmp_path)
    set_seed(seed)
    torch.nn.Linear(3, 3)  # random numbers for weights do not change the order
    rows = Dataset.from_dict({"pixels": [bytes(12)] * 10, "label": [0] * 10})
    loader = make_loader(rows, 2, batch_size=2, shuffle=True)
    loader = prepare_data_loader(
        loader, num_processes=processes, process_index=process, put_on_device=False, use_seedable_sampler=True
    )
    return accelerator, loader


def batches(loader) -> list[list[int]]:
    return [batch["row"].tolist() for batch in loader]


@pytest.mark.parametrize(("seed", "epoch"), KNOWN)
@pytest.mark.parametrize("processes", [1, 2])
def test_batch_k_of_process_p_of_n_is_number_k_n_plus_p_of_the_permutation(tmp_path, seed, epoch, processes):
    order = KNOWN[seed, epoch]
    whole = [order[start : start + 2] for start in range(0, 10, 2)]
    for process in range(processes):
        accelerator, loader = loader_of(seed, tmp_path, process, processes)
        loader.set_epoch(epoch)
        expected = whole[process::processes]
        if processes == 2 and process == 1:
            expected = [*expected, whole[0]]  # of five batches the second process repeats the first, for as many steps
        assert batches(loader) == expected
        loader.set_epoch(epoch)
        assert batches(accelerator.skip_first_batches(loader, 2)) == expected[2:]  # resumed after two batches
