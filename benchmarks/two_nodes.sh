#!/usr/bin/env bash
# Training and prediction on two nodes: two network namespaces of this machine, joined by a virtual cable, one process (gloo) in each.
# They share the file system, as nodes of a cluster do. Compared with one node: training with two processes, prediction with one.
#
#     sudo benchmarks/two_nodes.sh WORK [ARGUMENTS OF train_classifier.py]        # root, for the namespaces; WORK is created
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 WORK [ARGUMENTS]" >&2; exit 2; }
repository=$(cd "$(dirname "$0")/.." && pwd)
mkdir "$1"
work=$(cd "$1" && pwd)
shift
export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 PYTHONPATH=$repository
train=("$repository/train_classifier.py" --num_simulated 400 --image_size 32 --epochs 2 --mixed_precision no "$@")
cut=(--catalogue "$work/galaxies" --rows_per_part 16 --batch_size 16)

nodes=(galaxy0 galaxy1)
cleanup() { for node in "${nodes[@]}"; do ip netns del "$node" 2>/dev/null || true; done; }
trap cleanup EXIT
for node in "${nodes[@]}"; do ip netns add "$node"; done
ip link add cable0 netns galaxy0 type veth peer name cable1 netns galaxy1
for rank in 0 1; do
    ip -n "galaxy$rank" addr add "10.99.0.$((rank + 1))/24" dev "cable$rank"
    ip -n "galaxy$rank" link set "cable$rank" up
    ip -n "galaxy$rank" link set lo up
done

launch() { # MACHINES COMMAND...: with two processes, on so many machines
    local machines=$1
    shift
    local common=(--multi_gpu --num_processes 2 --num_machines "$machines" --mixed_precision no --dynamo_backend no)
    if [ "$machines" = 1 ]; then
        python -m accelerate.commands.launch "${common[@]}" --main_process_port 0 "$@"
        return
    fi
    common+=(--main_process_ip 10.99.0.1 --main_process_port 29500)
    # On a cluster each of these lines is what one node runs, with its own --machine_rank.
    GLOO_SOCKET_IFNAME=cable1 ip netns exec galaxy1 python -m accelerate.commands.launch "${common[@]}" --machine_rank 1 "$@" &
    GLOO_SOCKET_IFNAME=cable0 ip netns exec galaxy0 python -m accelerate.commands.launch "${common[@]}" --machine_rank 0 "$@"
    wait $!
}

launch 1 "${train[@]}" --output_dir "$work/train1"
launch 2 "${train[@]}" --output_dir "$work/train2"
cmp "$work/train1/model.safetensors" "$work/train2/model.safetensors"
echo "training: two nodes end with the weights of one node, byte by byte"

python - "$work" <<'PYTHON'
import sys
from pathlib import Path
from galaxy_vision.data.load import load_galaxies
folder = Path(sys.argv[1]) / "galaxies"
folder.mkdir()
for place, image in enumerate(load_galaxies("simulated", num_simulated=400)["train"]["image"]):
    image.save(folder / f"{place}.jpg")
PYTHON
python -m galaxy_vision.predict --model "$work/train1" "${cut[@]}" --output_dir "$work/predict1"
launch 2 -m galaxy_vision.predict --model "$work/train1" "${cut[@]}" --output_dir "$work/predict2"
python - "$work" <<'PYTHON'
import sys
from pathlib import Path
import pyarrow.parquet as pq
one, two = (sorted((Path(sys.argv[1]) / name).glob("part-*")) for name in ("predict1", "predict2"))
if [path.name for path in one] != [path.name for path in two] or not one:
    sys.exit("prediction: other parts")
tables = [[pq.read_table(path) for path in paths] for paths in (one, two)]
if not all(a.equals(b) for a, b in zip(*tables)):
    sys.exit("prediction: other rows")
print(f"prediction: two nodes write the {sum(map(len, tables[0]))} rows of one process, bit by bit, in {len(one)} parts")
PYTHON
