"""The manifest of raw files, which `fetch` writes and `prepare` reads."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from probunet.errors import ProbunetError
from probunet.files import read_file, written_whole


class Entry(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Unusable(Entry):
    """An image that cannot be used, and the reason."""

    reason: StrEnum
    path: str | None = None
    detail: str = ""

    @property
    @abstractmethod
    def subject(self) -> str:
        """The subject of the image, for example a patient or a city."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The file, or a description of the missing file."""

    @property
    def why(self) -> str:
        """The reason with its detail."""
        return f"{self.reason} ({self.detail})" if self.detail else str(self.reason)


class RawManifest(Entry):
    """Fields of the manifests of all data sets; `root` is absolute or relative to the manifest."""

    dataset: str
    source: str
    synthetic: bool
    root: str
    licence: str

    def write(self, path: Path) -> None:
        """Write the manifest to a file; raise ProbunetError if a name in it is not UTF-8."""
        for text in _texts(self.model_dump()):
            if text.encode(errors="replace").decode() != text:
                raise ProbunetError(
                    f"{text}: a name with bytes that are not UTF-8; rename the file or folder."
                )
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the manifest in a file, with an absolute root."""
        content = read_file(path, "no such manifest; run `probunet fetch` first.")
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            raise ProbunetError(
                f"{path}: not a manifest of this version ({error.error_count()} errors); "
                "remove it and run `probunet fetch` again."
            ) from None
        root = (path.parent / manifest.root).resolve()
        return manifest.model_copy(update={"root": str(root)})


def _texts(value: object) -> Iterator[str]:
    """Yield each text in a value of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def count_reasons(left_out: Iterable[Unusable]) -> dict[str, int]:
    """Return the number of unusable images by reason."""
    return dict(sorted(Counter(str(item.reason) for item in left_out).items()))
