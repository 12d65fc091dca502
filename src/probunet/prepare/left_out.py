"""What was left out, in words."""

from collections.abc import Iterable, Sequence

from probunet.manifest import Unusable, count_reasons

_SHOWN = 5  # subjects, and what was left out of each, in an error


def told(left_out: Iterable[Unusable], noun: str) -> str:
    """Return the reasons and how often each, to go on a sentence with.

    >>> told([], "slice")
    ''
    """
    reasons = count_reasons(left_out).items()
    return "".join(f"; {reason}: {n} {noun}{'s' if n > 1 else ''}" for reason, n in reasons)


def advice_on_lost(
    lost: Sequence[str], left_out: Sequence[Unusable], noun: str, subjects: str
) -> str:
    """Return why nothing can be used of these subjects, and what to do.

    `noun` is one of what was left out, `subjects` are patients or cities.
    """
    lines = [f"not one {noun} can be used of these {subjects}, {len(lost)} in all:"]
    for subject in lost[:_SHOWN]:
        own = [item for item in left_out if item.subject == subject]
        lines += [f"  {subject}: {item.place}: {item.why}" for item in own[:_SHOWN]]
        if len(own) > _SHOWN:
            lines.append(f"  {subject}: and {len(own) - _SHOWN} more")
    if len(lost) > _SHOWN:
        lines.append(f"  and {len(lost) - _SHOWN} more {subjects}")
    lines.append(
        f"Replace these files and run `probunet fetch` again, or leave such {subjects} out with "
        "`on_error: skip` (under datasets in config.yaml)."
    )
    return "\n".join(lines)
