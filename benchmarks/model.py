"""Time of a training step and of 16 samples, compared with the usual implementation.

The usual one is measured as it is, and with the two lines that speed it up: tensors in
channels_last, and autocast. Needs torch and NumPy only. Ratios are medians over rounds in which all
run in turn, so that other load on the machine affects all. Where it is heavy, `--clock processor`
measures the processor's time instead.
"""

import statistics
import sys
import time
from pathlib import Path

import torch

from common import parser, write
from usual import UsualProbabilisticUNet

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from probunet.models import build
from probunet.models.device import autocast, has_bfloat16

ARCHITECTURE = {"convolutions": 3, "latent_dim": 6, "head_convolutions": 3}
SMALL = (32, 64, 128, 192)
PAPER = (32, 64, 128, 256, 512)
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
USUAL, TUNED = "usual", "usual, channels_last and autocast"


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--threads", type=int, help="CPU threads")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--batch", type=int, default=8, help="images")
    arguments.add_argument("--side", type=int, default=128, help="of an image, pixels")
    arguments.add_argument("--clock", choices=CLOCKS, default="wall")
    options = arguments.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    precisions = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    result = {
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "bfloat16_in_hardware": has_bfloat16(device),
        "batch": options.batch,
        "side": options.side,
        "clock": options.clock,
        "training_step": training_step(device, precisions, options),
        "samples": samples(device, precisions, options),
    }
    if device.type == "cuda":
        result["paper_setting"] = paper_setting(device)
    write(result, options.json)


def training_step(device, precisions, options):
    """Return the time of a step for all implementations, and ratios."""
    image, mask, noise = _batch(device, options.batch, options.side)
    usual, _ = _models(SMALL, device)
    tuned = _models(SMALL, device)[0].to(memory_format=torch.channels_last)
    last = image.contiguous(memory_format=torch.channels_last)
    sides = {
        USUAL: _stepper(usual, "float32", lambda: usual.loss(image, mask, noise, 1.0)[0]),
        TUNED: _stepper(tuned, precisions[-1], lambda: tuned.loss(last, mask, noise, 1.0)[0]),
    }
    errors = {}
    for precision in precisions:
        _, ours = _models(SMALL, device)
        with torch.no_grad():
            expected = usual.loss(image, mask, noise, 1.0)[0].item()
            with autocast(device, precision):
                errors[precision] = abs(sum(ours(image, mask, noise)).item() / expected - 1)
        sides[precision] = _stepper(
            ours, precision, lambda model=ours: sum(model(image, mask, noise))
        )
    result = _compared(_by_turns(sides, device, options), precisions)
    for precision in precisions:
        result[precision]["relative_difference_of_loss"] = errors[precision]
        if errors[precision] > 1e-4:
            sys.exit(f"{precision}: losses differ by {errors[precision]:.1e}, more than 1e-4")
    # the choice of `precision: auto` on this machine
    result["auto"] = {"precision": precisions[-1], **result[precisions[-1]]}
    return result


def samples(device, precisions, options):
    """Return the time of 16 samples for all implementations, with features and prior, and of 1."""
    image, _, _ = _batch(device, options.batch, options.side)
    usual, ours = _models(SMALL, device)
    tuned = _models(SMALL, device)[0].to(memory_format=torch.channels_last)
    last = image.contiguous(memory_format=torch.channels_last)
    noise = torch.randn(16, options.batch, ARCHITECTURE["latent_dim"], device=device)

    def sample(n, precision):
        with autocast(device, precision):
            condition = ours.condition(image)
            for one in noise[:n]:
                ours.segment(condition, condition.prior.at(one))

    def sample_tuned():
        with autocast(device, precisions[-1]):
            tuned.sample(last, noise)

    sides = {
        USUAL: lambda: usual.sample(image, noise),
        TUNED: sample_tuned,
        "one": lambda: sample(1, "float32"),
        **{precision: lambda p=precision: sample(16, p) for precision in precisions},
    }
    seconds = _by_turns(sides, device, options)
    return {
        "one_seconds": statistics.median(seconds["one"]),
        "sixteen_seconds": statistics.median(seconds["float32"]),
        "times_slower": _ratio(seconds["float32"], seconds["one"]),
        **_compared(seconds, precisions),
    }


def _compared(seconds, precisions):
    """Return the times, and how many times faster the package is in each precision."""
    found = {side: {"seconds": statistics.median(seconds[side])} for side in (USUAL, TUNED)}
    for precision in precisions:
        found[precision] = {
            "seconds": statistics.median(seconds[precision]),
            "times_faster": _ratio(seconds[USUAL], seconds[precision]),
            "times_faster_than_channels_last_and_autocast": _ratio(
                seconds[TUNED], seconds[precision]
            ),
        }
    return found


def paper_setting(device):
    """Return the images per second at the paper's full size with batch 32."""
    image, mask, noise = _batch(device, 32)
    clock, result = CLOCKS["wall"], {}
    for name, precision, compiled in (
        ("float32", "float32", False),
        ("bfloat16", "bfloat16", False),
        ("bfloat16_compiled", "bfloat16", True),
    ):
        _, ours = _models(PAPER, device)
        if compiled:
            ours.compile()
        step = _stepper(ours, precision, lambda model=ours: sum(model(image, mask, noise)))
        for _ in range(5):
            step()
        seconds = [_timed(step, device, clock) for _ in range(20)]
        result[f"{name}_images_per_second"] = 32 / statistics.median(seconds)
    return result


def _batch(device, size, side=128):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(size, 1, side, side, generator=generator)
    mask = (torch.rand(size, side, side, generator=generator) > 0.9).long()
    noise = torch.randn(size, ARCHITECTURE["latent_dim"], generator=generator)
    return image.to(device), mask.to(device), noise.to(device)


def _models(channels, device):
    """Return the usual model and this package's, with the same weights."""
    ours = build(
        "probabilistic_unet",
        {**ARCHITECTURE, "channels": channels, "initialisation": "orthogonal"},
    )
    usual = UsualProbabilisticUNet(1, 2, channels, **ARCHITECTURE)
    usual.load_state_dict(ours.state_dict())
    return usual.to(device), ours.to(device)


def _stepper(model, precision, loss):
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-5, fused=True)
    device = next(model.parameters()).device

    def step():
        with autocast(device, precision):
            value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    return step


def _by_turns(sides, device, options):
    """Return the seconds of each side, one per round; the first two rounds are not counted."""
    clock, seconds = CLOCKS[options.clock], {name: [] for name in sides}
    for _ in range(options.rounds + 2):
        for name, run in sides.items():
            seconds[name].append(_timed(run, device, clock))
    return {name: values[2:] for name, values in seconds.items()}


def _timed(run, device, clock):
    """Return the seconds of a call, until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def _ratio(slower, faster):
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


if __name__ == "__main__":
    main()
