"""The energy that a GPU uses."""

import os
import shutil
import subprocess
import time

import torch

SMI = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")


class Energy:
    """The energy that a GPU has used, as its driver tells its power; None if it does not."""

    def __init__(self, device: str) -> None:
        on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        number = int(device.partition(":")[2] or 0)
        # the driver counts all GPUs of the machine, torch only those that are visible
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        name = visible[number] if number < len(visible) and visible[number] else str(number)
        self.command = [*SMI, f"--id={name}"] if on_gpu and shutil.which(SMI[0]) else None
        self.watt_hours: float | None = None
        self.last = time.monotonic()

    def measure(self) -> None:
        """Add the energy since the last call, from the power now."""
        if self.command is None:
            return
        now = time.monotonic()
        told = subprocess.run(self.command, capture_output=True, text=True).stdout.strip()
        try:
            self.watt_hours = (self.watt_hours or 0) + float(told) * (now - self.last) / 3600
        except ValueError:  # "[N/A]": the driver does not tell it
            self.command = None
        self.last = now
