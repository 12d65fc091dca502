"""Vega, which draws the report's charts, in a process of its own.

Vega runs in V8, which ends its whole process if memory is lacking: it prints addresses and raises
no exception. V8 also reserves more than 30 GiB of addresses, so a limit on these (`ulimit -v`) is
lifted in this process as far as the system lets it.
"""

import os
import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any

import vl_convert

from probunet.errors import OutOfMemoryError
from probunet.workers import worker_processes


def svg_of(spec: dict[str, Any]) -> str:
    """Return a chart, given as Vega-Lite, as SVG; raises OutOfMemoryError as `_call` does."""
    return str(_call("vegalite_to_svg", spec))


def pdf_of(svg: str) -> bytes:
    """Return an SVG as a page of PDF; raises OutOfMemoryError as `_call` does."""
    return bytes(_call("svg_to_pdf", svg))


def bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script; raises as `_call` does."""
    return str(_call("javascript_bundle"))


@cache
def _process() -> ProcessPoolExecutor:
    """Return the process, which ends with this one."""
    return worker_processes(1)


def _call(name: str, *arguments: object) -> Any:
    """Return what a function of vl-convert returns.

    Raises
    ------
    OutOfMemoryError
        If its process is killed or lacks memory.
    """
    try:
        return _process().submit(_do, name, *arguments).result()
    except (BrokenProcessPool, MemoryError):
        raise OutOfMemoryError(
            "the report's charts: the process that draws them lacks memory or was killed; give the "
            "job more memory (mem_mb of the rule report), and set no limit on addresses: "
            "`ulimit -v unlimited`."
        ) from None


def _do(name: str, *arguments: object) -> object:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # V8's addresses are of no use to a reader
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return getattr(vl_convert, name)(*arguments)
