"""Tell a lack of memory from a damaged file: both end a decoder with an error of nearly any kind.

A file that is left out because memory was lacking would make results depend on the machine.
"""

import errno
import mmap
import re

# bytes that must be left before a file counts as damaged; decoders need less for what they do not
# report as a lack of memory
SPARE = 2**28

# how libraries say it in errors of other types: Pillow, pandas and CUDA; NumPy, where pydicom
# repeats it; the system and torch; C++; CUDA's libraries; MPS; threads; libraries that cannot be
# loaded
_LACKS_MEMORY = re.compile(
    r"out[ _]of[ _]memory|Unable to allocate|can(no|')t allocate memory|bad_alloc|"
    r"ALLOC(ATION)?_FAILED|Invalid buffer size|can't start new thread|failed to map segment",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it was made of, says that memory is lacking."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return True
        if _LACKS_MEMORY.search(str(cause)):
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def raise_if_memory_lacks(error: BaseException) -> None:
    """Raise MemoryError if an error can be due to a lack of memory.

    Not every decoder says so: libjpeg calls the data broken. So memory also counts as lacking if
    `SPARE` bytes are not left.
    """
    if isinstance(error, MemoryError):
        raise error
    if lacks_memory(error):
        raise MemoryError(str(error)) from error
    try:
        mmap.mmap(-1, SPARE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        raise MemoryError(f"less than {SPARE // 2**20} MiB were left") from error
