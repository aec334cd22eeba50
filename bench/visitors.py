"""Visitors of all sorts, as many at once as wanted: patient, hasty, slow, mistaken, and gone."""

import asyncio
import random
import re
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

HOST = "127.0.0.1"
PATIENCE = 60
"""Seconds after which an answer counts as missing."""

SLOW_SECONDS = 10
"""How long a slow visitor takes a byte a second, or the server waits for half a request."""

TOO_SLOW = re.compile(rb"takes? too long|interrupted")
"""What the site says of such a query."""

ALL_ROWS = "/daily/papers.csv?_stream=on"
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_TAG = re.compile(rb"\r\netag: ([^\r]+)\r\n", re.IGNORECASE)


class BrokenError(Exception):
    """The server did not answer as it should; the message says how."""


class Answer(NamedTuple):
    """What came, all of it; `begin` is the beginning of the body."""

    status: int
    head: bytes
    length: int = 0
    begin: bytes = b""


class Connection:
    """One to the server, for requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.is_used = False

    def send(self, path: str, headers: Mapping[str, str], method: str = "GET") -> None:
        """A request without a body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def read_head(self) -> tuple[int, bytes]:
        """The status and the headers."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.is_used = True
        return int(head.split(b" ", 2)[1]), head

    async def read_answer(self) -> Answer:
        """Raises EOFError where it is not whole."""
        status, head = await self.read_head()
        if status in (204, 304):
            return Answer(status, head)
        total, begin = 0, b""
        async for part in self._read_body(head):
            total += len(part)
            begin = begin or part
        return Answer(status, head, total, begin)

    async def _read_body(self, head: bytes) -> AsyncIterator[bytes]:
        if length := _LENGTH.search(head):
            left = int(length[1])
            while left:
                part = await self._read_some(min(left, 65536))
                left -= len(part)
                yield part
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    async def _read_some(self, most: int) -> bytes:
        part = await self.reader.read(most)
        if not part:
            raise EOFError("an answer broke off")
        return part


async def connect(port: int, buffer: int = 0) -> Connection:
    """A new connection; with a small `buffer`, the server notices that nobody reads."""
    end = socket.socket()
    end.setblocking(False)
    if buffer:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        await asyncio.get_running_loop().sock_connect(end, (HOST, port))
        reader, writer = await asyncio.open_connection(sock=end, limit=buffer or 2**20)
    except BaseException:
        end.close()
        raise
    return Connection(reader, writer)


@asynccontextmanager
async def connected(port: int, buffer: int = 0) -> AsyncIterator[Connection]:
    """A connection that is dropped at the end, whatever is still on its way."""
    connection = await connect(port, buffer)
    try:
        yield connection
    finally:
        connection.writer.transport.abort()


@dataclass(frozen=True)
class Places:
    """Addresses that there are in a database."""

    papers: Sequence[str]
    tags: Sequence[str]
    words: Sequence[str]


def read_places(database: Path) -> Places:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    papers = connection.execute("select id, title from papers order by number limit 500").fetchall()
    tags = connection.execute("select id from tags where papers > 0").fetchall()
    connection.close()
    words = {word for _, title in papers for word in title.split() if word.isalpha()}
    return Places([quote(row[0]) for row in papers], [row[0] for row in tags], sorted(words))


@dataclass
class Record:
    """What came of all visits."""

    times: dict[str, list[float]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    too_slow: Counter[str] = field(default_factory=Counter)
    """What the site gave up because SQL took longer than it may."""

    bytes: int = 0

    def note(self, kind: str, began: float, length: int = 0) -> None:
        """A visit that ended."""
        self.times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
        self.bytes += length


class Visitor:
    """Comes again and again, each time for something else, on one connection where that is kept."""

    def __init__(self, port: int, places: Places, seed: int, record: Record) -> None:
        self._port, self._places, self._record = port, places, record
        self._chance = random.Random(seed)
        self._connection: Connection | None = None

    async def visit(self, deadline: float, pause: float) -> None:
        """Until the deadline, with pauses of `pause` seconds on average."""
        kinds, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
        while time.monotonic() < deadline:
            [kind] = self._chance.choices(kinds, weights)
            try:
                async with asyncio.timeout(PATIENCE + SLOW_SECONDS):
                    await KINDS[kind][1](self, kind)
            except (BrokenError, EOFError, OSError, TimeoutError, ValueError) as error:
                self._record.failures[f"{kind}: {type(error).__name__} {error}"[:200]] += 1
                self._leave()
            await asyncio.sleep(self._chance.uniform(0, 2 * pause))
        self._leave()

    def _leave(self) -> None:
        if self._connection:
            self._connection.writer.transport.abort()
        self._connection = None

    async def _ask(
        self,
        kind: str,
        path: str,
        expected: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Answer:
        began = time.perf_counter()
        stays = self._chance.random() < 0.8
        sent = {"Connection": "keep-alive" if stays else "close", **(headers or {})}
        answer = await self._ask_again(path, sent, method)
        self._record.note(kind, began, answer.length)
        if answer.status not in expected:
            self._complain(kind, answer, f"{method} {path}")
        if not stays:
            self._leave()
        return answer

    async def _ask_again(self, path: str, headers: Mapping[str, str], method: str) -> Answer:
        """Once more where the server had closed the connection, as browsers do."""
        for _ in range(2):
            connection = self._connection = self._connection or await connect(self._port)
            was_used = connection.is_used
            try:
                connection.send(path, headers, method)
                return await connection.read_answer()
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self._leave()
                is_empty = isinstance(error, ConnectionError) or not error.partial
                if not (was_used and is_empty):
                    raise
        raise BrokenError("the server closes each connection")

    def _complain(self, kind: str, answer: Answer, asked: str) -> None:
        """Raises BrokenError, unless the server is only overloaded."""
        if answer.status != 400 or not TOO_SLOW.search(answer.begin):
            raise BrokenError(f"{answer.status} for {asked}")
        self._record.too_slow[kind] += 1

    def _pick(self, choices: Sequence[str]) -> str:
        return self._chance.choice(choices)

    def _think_of_words(self) -> str:
        return quote_plus(" ".join(self._chance.choices(self._places.words, k=2)))

    async def open_page(self, kind: str) -> None:
        """Mostly a paper's, mostly compressed."""
        paper, tag = self._pick(self._places.papers), self._pick(self._places.tags)
        pages = [
            *("/", "/daily", "/daily/papers", "/daily/papers?_sort_desc=comments", "/about"),
            *(f"/daily/papers?_tag={tag}", f"/daily/tags/{tag}"),
            *[f"/daily/papers/{paper}"] * 5,
        ]
        packed = {"Accept-Encoding": "gzip"} if self._chance.random() < 0.7 else {}
        await self._ask(kind, self._pick(pages), headers=packed)

    async def search(self, kind: str) -> None:
        """For two words of titles."""
        form = self._pick(["search?", "search.json?_shape=array&"])
        await self._ask(kind, f"/daily/{form}q={self._think_of_words()}")

    async def call_api(self, kind: str) -> None:
        """JSON, a feed, or citations."""
        tag = self._pick(self._places.tags)
        calls = ["papers.json?_shape=array&_labels=on&_size=20", f"papers.json?_tag={tag}",
                 f"papers.atom?_tag={tag}", "papers.bib?_size=20", f"tags/{tag}.json"]  # fmt: skip
        await self._ask(kind, f"/daily/{self._pick(calls)}")

    async def ask_sql(self, kind: str) -> None:
        """What takes milliseconds."""
        sql = "select year, count(*), avg(comments) from papers group by year"
        await self._ask(kind, f"/daily.json?_shape=array&sql={quote_plus(sql)}")

    async def ask_endless_sql(self, kind: str) -> None:
        """What the site has to end."""
        await self._ask(kind, f"/daily.json?sql={quote_plus(ENDLESS)}", (400, 429, 503))

    async def take_all_rows(self, kind: str) -> None:
        """As a stream, read as fast as it comes."""
        form = self._pick(["csv", "ndjson"])
        await self._ask(kind, f"/daily/papers.{form}?_stream=on")

    async def take_part_of_file(self, kind: str) -> None:
        """Half a megabyte of the database."""
        start = self._chance.randrange(1_000_000)
        part = {"Range": f"bytes={start}-{start + 500_000}"}
        await self._ask(kind, "/daily.db", (200, 206), part)

    async def come_back(self, kind: str) -> None:
        """To a page that may be unchanged."""
        path = f"/daily/papers/{self._pick(self._places.papers)}"
        tag = _TAG.search((await self._ask(kind, path)).head)
        known = {"If-None-Match": tag[1].decode()} if tag else {}
        await self._ask(kind, path, (304, 200), known)  # 200 where the database is new

    async def get_lost(self, kind: str) -> None:
        """Where there is nothing."""
        path = self._pick(["/nothing", "/daily/nothing", "/daily/papers/nothing.json"])
        await self._ask(kind, path, (404,))

    async def ask_wrongly(self, kind: str) -> None:
        """What cannot be answered."""
        path = self._pick(["/daily.json?sql=nonsense", "/daily/papers?_sort=x", "/daily?sql=drop"])
        await self._ask(kind, path, (400,))
        await self._ask(kind, "/daily/papers", (405,), method="DELETE")

    async def go_away(self, kind: str) -> None:
        """Before the answer, or in the midst of it."""
        began = time.perf_counter()
        async with connected(self._port) as connection:
            connection.send(self._pick(["/", "/daily/papers", ALL_ROWS, "/daily.db"]), {})
            if self._chance.random() < 0.5:
                await connection.read_head()
            else:
                await asyncio.sleep(self._chance.uniform(0, 0.05))
        self._record.note(kind, began)

    async def read_slowly(self, kind: str) -> None:
        """A byte a second; then the rest, or no more."""
        began = time.perf_counter()
        async with connected(self._port, buffer=4096) as connection:
            connection.send(ALL_ROWS, {})
            status, head = await connection.read_head()
            if status != 200:
                begin = await connection.reader.read(65536)
                return self._complain(kind, Answer(status, head, 0, begin), ALL_ROWS)
            read = b""
            for _ in range(SLOW_SECONDS):
                read += await connection.reader.readexactly(1)
                await asyncio.sleep(1)
            if self._chance.random() < 0.5:
                while not read.endswith(b"\r\n0\r\n\r\n"):
                    part = await connection.reader.read(65536)
                    if not part:
                        raise EOFError("a slow answer broke off")
                    read = read[-8:] + part
        self._record.note(kind, began)

    async def say_half(self, kind: str) -> None:
        """A request that never ends, and one that is none."""
        began = time.perf_counter()
        async with connected(self._port) as connection:
            connection.writer.write(b"GET / HTTP/1.1\r\nHost: ")
            await asyncio.sleep(self._chance.uniform(0, SLOW_SECONDS))
        async with connected(self._port) as connection:
            connection.writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
            status, _ = await connection.read_head()
        self._record.note(kind, began)
        if status != 400:
            raise BrokenError(f"{status} for what is no HTTP")


KINDS: Mapping[str, tuple[int, Callable[[Visitor, str], Awaitable[None]]]] = {
    "a page": (32, Visitor.open_page),
    "a search": (12, Visitor.search),
    "JSON, feeds, citations": (12, Visitor.call_api),
    "SQL": (8, Visitor.ask_sql),
    "SQL without end": (1, Visitor.ask_endless_sql),
    "all rows": (3, Visitor.take_all_rows),
    "a part of the database": (2, Visitor.take_part_of_file),
    "a page and again (304)": (10, Visitor.come_back),
    "nothing there (404)": (4, Visitor.get_lost),
    "wrong (400, 405)": (4, Visitor.ask_wrongly),
    "gone before the end": (8, Visitor.go_away),
    "a byte a second": (2, Visitor.read_slowly),
    "half a request": (2, Visitor.say_half),
}
"""What visitors do, how often, and how."""
