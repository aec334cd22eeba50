"""Values that wait between reading and writing, one an entry: in memory, or in a file.

A million papers as Python objects would take gigabytes; as bytes in a file they take none.
"""

import marshal
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import IO, Any

_AT_A_TIME = 500
"""Records that are read from a file in one go."""


@dataclass(frozen=True)
class Records:
    """Values as marshal packs them: plain tuples of texts and numbers.

    `ends` says where each ends. They begin at `start` in the file of that `handle`, or where that
    is None, in `content`.
    """

    ends: "array[int]"
    content: bytes = b""
    handle: int | None = None
    start: int = 0

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place: int) -> Any:
        begin = self.ends[place - 1] if place else 0
        return marshal.loads(self._read(begin, self.ends[place]))

    def __iter__(self) -> Iterator[Any]:
        begin = 0
        for first in range(0, len(self), _AT_A_TIME):
            ends = self.ends[first : first + _AT_A_TIME]
            content = memoryview(self._read(begin, ends[-1]))
            offset = begin
            for end in ends:
                yield marshal.loads(content[begin - offset : end - offset])
                begin = end

    def _read(self, begin: int, end: int) -> bytes:
        if self.handle is None:
            return self.content[begin:end]
        return os.pread(self.handle, end - begin, self.start + begin)

    def move_to(self, file: IO[bytes]) -> "Records":
        """The same at the end of a file, which must stay open. Raises OSError."""
        start = file.tell()
        file.write(self.content)
        file.flush()
        return replace(self, content=b"", handle=file.fileno(), start=start)


def pack_records(values: Iterable[Any]) -> Records:
    """Raises ValueError where a value is not plain."""
    packed = list(map(marshal.dumps, values))
    return Records(array("I", accumulate(map(len, packed))), b"".join(packed))
