"""Do samples follow known probabilities? The five flips of Cityscapes, learnt on easy scenes.

    python benchmarks/flips.py --json flips.json [--device cuda] [--threads 2]

Needs torch and NumPy only. The scenes are synthetic: blocks of plain colour in every one of which
all five classes that flip are to be seen, so that an image has all 32 modes and nothing but the
flips is uncertain. A Probabilistic U-Net is trained on them with flips drawn anew for each batch,
at their true probabilities; then its samples of unseen scenes are scored as Cityscapes' are.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from probunet.flips import CLASSES, FLIPS, MODE_PROBABILITIES, MODES, draw_flips, flip
from probunet.metrics.ged import energy_distance
from probunet.metrics.mode_shares import mode_shares
from probunet.metrics.modes import mode_distances
from probunet.models import build

SIZE = (16, 32)  # pixels
SCENES = {"train": 256, "test": 200}
ARCHITECTURE = {
    "channels": [16, 32, 48],
    "convolutions": 2,
    "latent_dim": 6,
    "head_convolutions": 3,
    "initialisation": "he",
}
BATCH = 16
STEPS = 14_000
LEARNING_RATES = (4e-4, 4e-4, 4e-4, 1e-4, 4e-5)  # phases of equal length
SAMPLES = 16
TARGETS = {"frequency": 0.1, "ged": 0.1}  # at most so far from the truth

COLOURS = {  # those of Cityscapes' own label maps, from 0 to 1
    "road": (0.50, 0.25, 0.50),
    "sidewalk": (0.96, 0.14, 0.91),
    "building": (0.27, 0.27, 0.27),
    "sky": (0.27, 0.51, 0.71),
    "vegetation": (0.42, 0.56, 0.14),
    "person": (0.86, 0.08, 0.24),
    "car": (0.00, 0.00, 0.56),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    random = np.random.default_rng(options.seed)
    scenes = {part: draw_scenes(random, count) for part, count in SCENES.items()}
    start = time.perf_counter()
    model = train(*scenes["train"], random, device, options.steps, options.seed)
    result = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "steps": options.steps,
        "seed": options.seed,
        "training_seconds": time.perf_counter() - start,
        **evaluate(model, *scenes["test"], device),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def draw_scenes(random, count):
    """Return pictures (count, 3, H, W) float32 and labels (count, H, W), train ids."""
    scenes = [draw_scene(random) for _ in range(count)]
    pictures, labels = zip(*scenes, strict=True)
    return np.stack(pictures), np.stack(labels)


def draw_scene(random):
    """Return one street: sky, buildings, road and sidewalks; on them a tree, a car, a person."""
    height, width = SIZE
    label = np.full(SIZE, CLASSES.index("sky"), np.uint8)

    def block(name, bottom, left, high, wide):
        top, bottom = max(0, round(bottom - high)), round(bottom)
        label[top:bottom, max(0, round(left)) : round(left + wide)] = CLASSES.index(name)

    def between(low, high):
        return low + (high - low) * random.random()

    horizon = height * between(0.4, 0.5)
    kerb = width * between(0.12, 0.22)
    block("building", horizon, 0, height / 4, width)
    block("road", height, 0, height - horizon, width)
    block("sidewalk", height, 0, height - horizon, kerb)
    block("sidewalk", height, width - kerb, height - horizon, kerb)
    block(
        "vegetation",
        horizon + 1,
        width * between(0, 0.35),
        height * between(0.25, 0.38),
        width * between(0.19, 0.28),
    )
    block(
        "car",
        horizon + height * between(0.12, 0.31),
        width * between(0.3, 0.5),
        height * between(0.25, 0.31),
        width * between(0.28, 0.34),
    )
    block(
        "person",
        horizon + height * between(0.12, 0.25),
        width * between(0.72, 0.87),
        height * between(0.5, 0.56),
        width * between(0.12, 0.16),
    )
    picture = np.zeros((*SIZE, 3))
    for name, colour in COLOURS.items():
        picture[label == CLASSES.index(name)] = colour
    picture = picture * between(0.8, 1.2) + 0.03 * random.standard_normal(picture.shape)
    return picture.transpose(2, 0, 1).astype(np.float32), label


def train(pictures, labels, random, device, steps, seed):
    """Return a model that was shown the scenes by new names in each batch."""
    model = build(
        "probabilistic_unet", ARCHITECTURE, in_channels=3, classes=len(CLASSES), seed=seed
    ).to(device)
    optimiser = torch.optim.Adam(model.parameters())
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.from_numpy(pictures).to(device)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATES[step * len(LEARNING_RATES) // steps]
        chosen = random.integers(len(labels), size=BATCH)
        named = flip(labels[chosen], draw_flips(random, BATCH))
        mask = torch.from_numpy(named).to(device).long()
        loss = model.loss(pictures[torch.from_numpy(chosen)], mask, beta=1.0, generator=generator)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        if (step + 1) % (steps // 10) == 0:
            print(f"step {step + 1}: loss {loss.total:.1f}, kl {loss.kl:.2f}", file=sys.stderr)
    return model


def evaluate(model, pictures, labels, device):
    """Return how often samples take each name and mode, and GED beside its exact optimum."""
    generators = [torch.Generator().manual_seed(image) for image in range(len(labels))]
    drawn = model.draw(torch.from_numpy(pictures).to(device), SAMPLES, generators)
    pairs = mode_distances(drawn.samples.movedim(0, 1).cpu().numpy(), labels)
    single = mode_distances(drawn.deterministic[:, None].cpu().numpy(), labels)
    shares = mode_shares(pairs, SAMPLES).mean(axis=0)
    frequencies = {
        name: {"samples": float(shares[MODES[:, k]].sum()), "truth": float(truth)}
        for k, (name, truth) in enumerate(FLIPS.items())
    }
    # of n samples of the modes themselves, a share 1 / n of pairs is a sample with itself
    truth = np.einsum("imn,m,n->i", pairs.graders, MODE_PROBABILITIES, MODE_PROBABILITIES)
    ged = energy_distance(pairs, SAMPLES, weights=MODE_PROBABILITIES).ged.mean()
    return {
        "flip_frequency": frequencies,
        "largest_difference_of_frequency": max(
            abs(one["samples"] - one["truth"]) for one in frequencies.values()
        ),
        "modes_reached": int((shares > 0).sum()),
        "mode_frequency": shares.tolist(),
        "mode_probability": MODE_PROBABILITIES.tolist(),
        "ged_16": float(ged),
        "ged_16_optimum": float(truth.mean() / SAMPLES),
        "ged_deterministic": float(
            energy_distance(single, 1, weights=MODE_PROBABILITIES).ged.mean()
        ),
        "targets": TARGETS,
    }


if __name__ == "__main__":
    main()
