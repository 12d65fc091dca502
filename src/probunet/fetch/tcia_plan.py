"""What a download of LIDC-IDRI from The Cancer Imaging Archive moves, told before it begins."""

from pathlib import Path

from probunet.fetch.idc_plan import index_of, wanted


def describe_zips(folder: Path, patients: int | None, address: str) -> str:
    """Return what a download would move; nothing is asked of the network.

    The archive sends whole series. A series' size is the Imaging Data Commons' of the same files.
    """
    series = wanted(patients)
    # kept once all of a series has come
    left = [item for item in series if not index_of(folder, item.row.series).is_file()]
    moved = sum(item.row.bytes for item in left)
    return (
        f"LIDC-IDRI from {address}: {len(series)} series of "
        f"{len({item.row.patient for item in series})} patients\n"
        f"  whole series to get: {len(left):,} of {len(series):,}, {moved / 1e9:.2f} GB; "
        "zips are smaller by what they shrink\n"
        "  time: not known, as the archive makes the zips while it sends them"
    )
