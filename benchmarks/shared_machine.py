"""Time of a training step beside a busy process, for several ways to wait for other threads.

Needs torch and NumPy only. OpenMP's threads wait for each other many times a step. If they spin
meanwhile, they take the processor from the one that they wait for, as soon as another process keeps
a core busy. OpenMP reads how to wait when torch is loaded, so each way has a process. They train in
turn, alone and then beside a process that never waits; ratios are medians over rounds.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import parser, write

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

CORES = len(os.sched_getaffinity(0))
# variables of the environment; the one of the first is not set
WAYS = {
    "spinning (as torch is)": {},
    "passive (OMP_WAIT_POLICY)": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spinning shortly (GOMP_SPINCOUNT)": {"GOMP_SPINCOUNT": "1000"},
    "one thread fewer": {"THREADS": str(max(1, CORES - 1))},
}
OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
TICKS = os.sysconf("SC_CLK_TCK")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--steps", type=int, default=4, help="of a turn")
    arguments.add_argument("--batch", type=int, default=8, help="images of 128x128 pixels")
    arguments.add_argument("--train", action="store_true", help="be one of the processes")
    options = arguments.parse_args()
    if options.train:
        train(options)
        return
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, __file__, "--train"]
    command += ["--steps", str(options.steps), "--batch", str(options.batch)]
    trainings = {
        name: subprocess.Popen(
            command, env=clean | way, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name, way in WAYS.items()
    }
    turns = {name: [turn(training)] for name, training in trainings.items()}  # not counted
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        for _ in range(options.rounds):
            for name, training in trainings.items():
                busy.send_signal(signal.SIGSTOP)
                turns[name].append(turn(training))
                busy.send_signal(signal.SIGCONT)
                turns[name].append(turn(training, busy.pid))
    finally:
        for process in (busy, *trainings.values()):
            process.kill()
    losses = {
        tuple(one["losses"] for one in of) for name, of in turns.items() if "fewer" not in name
    }
    result = {
        "cores": CORES,
        "batch": options.batch,
        "ways": {name: summary(of[1::2], of[2::2]) for name, of in turns.items()},
        "equal losses with equal threads": len(losses) == 1,
    }
    write(result, options.json)


def summary(alone, beside):
    """Return medians of the turns alone and beside the busy process, and what that one took."""
    pairs = list(zip(alone, beside, strict=True))
    # of the processors; a training that loses no more than this share takes 1 / (1 - share) times
    share = statistics.median(one["busy"] for one in beside) / CORES
    return {
        "seconds alone": statistics.median(one["seconds"] for one in alone),
        "seconds beside": statistics.median(one["seconds"] for one in beside),
        "times slower": statistics.median(b["seconds"] / a["seconds"] for a, b in pairs),
        "times more processor time": statistics.median(b["work"] / a["work"] for a, b in pairs),
        "share of the busy process": share,
        "times slower by that share": 1 / (1 - share),
    }


def turn(training, busy=None):
    """Let a process train some steps; return seconds and processor seconds of a step."""
    before, start = busy and processor_seconds(busy), time.perf_counter()
    training.stdin.write("\n")
    training.stdin.flush()
    found = json.loads(training.stdout.readline())
    passed = time.perf_counter() - start
    return found | {"busy": busy and (processor_seconds(busy) - before) / passed}


def processor_seconds(process):
    """Return what a process took of the processors so far."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def train(options):
    """Train some steps for each line of the standard input."""
    import torch

    from model import SMALL, _batch, _models, _stepper

    torch.set_num_threads(int(os.environ.get("THREADS", CORES)))
    torch.manual_seed(0)
    image, mask, noise = _batch(torch.device("cpu"), options.batch)
    _, model = _models(SMALL, torch.device("cpu"))
    losses = []

    def loss():
        value = sum(model(image, mask, noise))
        losses.append(value.detach())
        return value

    step = _stepper(model, "auto", loss)
    for _ in sys.stdin:
        losses.clear()
        start, work = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            step()
        found = {
            "seconds": (time.perf_counter() - start) / options.steps,
            "work": (time.process_time() - work) / options.steps,
            "losses": repr([one.item() for one in losses]),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
