"""Time of a training step, compared with the usual implementation, and of 16 samples and 1.

Needs torch and NumPy only. Ratios are medians over rounds in which both run in turn, so that other
load on the machine affects both.
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


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--threads", type=int, help="CPU threads")
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    result = {
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "bfloat16_in_hardware": has_bfloat16(device),
        "training_step": training_step(device, options.rounds),
        "samples": samples(device, options.rounds),
    }
    if device.type == "cuda":
        result["paper_setting"] = paper_setting(device)
    write(result, options.json)


def training_step(device, rounds):
    """Return the time of a step with batch 8 of 128x128, for both implementations."""
    image, mask, noise = _batch(device, 8)
    usual, _ = _models(SMALL, device)
    sides = {"usual": _stepper(usual, "float32", lambda: usual.loss(image, mask, noise, 1.0)[0])}
    errors = {}
    precisions = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    for precision in precisions:
        _, ours = _models(SMALL, device)
        with torch.no_grad():
            expected = usual.loss(image, mask, noise, 1.0)[0].item()
            with autocast(device, precision):
                errors[precision] = abs(sum(ours(image, mask, noise)).item() / expected - 1)
        sides[precision] = _stepper(
            ours, precision, lambda model=ours: sum(model(image, mask, noise))
        )
    seconds = _by_turns(sides, rounds, device)
    result = {"usual_seconds": statistics.median(seconds["usual"])}
    for precision in precisions:
        result[precision] = {
            "seconds": statistics.median(seconds[precision]),
            "times_faster": _ratio(seconds["usual"], seconds[precision]),
            "relative_difference_of_loss": errors[precision],
        }
        if errors[precision] > 1e-4:
            sys.exit(f"{precision}: losses differ by {errors[precision]:.1e}, more than 1e-4")
    # the choice of `precision: auto` on this machine
    result["auto"] = {"precision": precisions[-1], **result[precisions[-1]]}
    return result


def samples(device, rounds):
    """Return the time of 16 samples and of one for a batch of 8, with features and prior."""
    image, _, _ = _batch(device, 8)
    _, ours = _models(SMALL, device)
    noise = torch.randn(16, 8, ARCHITECTURE["latent_dim"], device=device)

    def sample(n):
        condition = ours.condition(image)
        for one in noise[:n]:
            ours.segment(condition, condition.prior.at(one))

    seconds = _by_turns({n: lambda n=n: sample(n) for n in (1, 16)}, rounds, device)
    return {
        "one_seconds": statistics.median(seconds[1]),
        "sixteen_seconds": statistics.median(seconds[16]),
        "times_slower": _ratio(seconds[16], seconds[1]),
    }


def paper_setting(device):
    """Return the images per second at the paper's full size with batch 32."""
    image, mask, noise = _batch(device, 32)
    result = {}
    for name, precision, compiled in (
        ("float32", "float32", False),
        ("bfloat16", "bfloat16", False),
        ("bfloat16_compiled", "bfloat16", True),
    ):
        _, ours = _models(PAPER, device)
        if compiled:
            ours.compile()
        step = _stepper(ours, precision, lambda model=ours: sum(model(image, mask, noise)))
        seconds = _by_turns({name: step}, 20, device)[name]
        result[f"{name}_images_per_second"] = 32 / statistics.median(seconds)
    return result


def _batch(device, size):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(size, 1, 128, 128, generator=generator)
    mask = (torch.rand(size, 128, 128, generator=generator) > 0.9).long()
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


def _by_turns(sides, rounds, device):
    """Return the seconds of each model, one per round; the first two rounds are not counted."""
    seconds = {name: [] for name in sides}
    for _ in range(rounds + 2):
        for name, run in sides.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - started)
    return {name: values[2:] for name, values in seconds.items()}


def _ratio(slower, faster):
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


if __name__ == "__main__":
    main()
