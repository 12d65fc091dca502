"""How threads wait for each other changes no bit of a training."""

import os
import subprocess
import sys

TRAINING = """
import hashlib
import torch
from probunet.models import build

torch.set_num_threads(2)
torch.manual_seed(0)
torch.use_deterministic_algorithms(True)
shape = {"channels": [16, 32], "convolutions": 2, "initialisation": "he"}
model = build("probabilistic_unet", shape | {"latent_dim": 3, "head_convolutions": 2})
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
image, mask = torch.rand(4, 1, 64, 64), torch.randint(2, (4, 64, 64))
for step in range(3):
    generator = torch.Generator().manual_seed(step)
    loss = model.loss(image, mask, beta=1.0, generator=generator).total
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
weights = b"".join(weight.numpy().tobytes() for weight in model.state_dict().values())
print(hashlib.sha256(weights).hexdigest())
"""


def trained(policy: str) -> str:
    environment = os.environ | {"OMP_WAIT_POLICY": policy}
    command = [sys.executable, "-c", TRAINING]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_threads_that_sleep_or_spin_train_the_same_weights() -> None:
    assert trained("PASSIVE") == trained("ACTIVE")
