"""The device that a model runs on, and its precision."""

import torch

from probunet.errors import ProbunetError


def choose_device(name: str, threads: int | None = None) -> torch.device:
    """Return the device of this name, and set the number of CPU threads.

    Parameters
    ----------
    name
        "cpu", "cuda", "cuda:1" ...; "auto" is "cuda" if there is a GPU, else "cpu".
    threads
        CPU threads that torch may use; torch's own choice if None.

    Raises
    ------
    ProbunetError
        If the device is unknown or this machine does not have it.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ProbunetError(
            f"device {name}: not usable here ({reason}); choose auto, cpu or cuda."
        ) from None
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context for a model's forward pass in training.

    Parameters
    ----------
    device
        The model's device.
    precision
        "float32", "bfloat16", or "auto": bfloat16 if the hardware multiplies bfloat16 matrices (a
        recent GPU, a CPU with AMX), else float32.
    """
    wanted = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
