"""Work on several processors, by processes that never outlive the one that wants it.

Each worker holds a thread that waits for the other end of a pipe to close: the system closes it
with the process that holds it, even a killed one, and then the worker stops at once.
"""

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerError(Exception):
    """A worker ended before its work did; the message says how."""


def count_processors() -> int:
    """How many this process may use; 1 where processes cannot be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def work_through(
    tasks: Sequence[Task], works: Sequence[Callable[[Task], Result]]
) -> Generator[Result, None, None]:
    """The results of all tasks as they are done, by one worker for each of `works`.

    Raises what a work raises, and WorkerError where a worker is killed.
    """
    remaining = iter(tasks)
    with _start_all([_serve(work) for work in works]) as workers:
        idle = list(workers)
        busy: list[Connection] = []
        while True:
            for connection in idle:
                for task in remaining:
                    _send(workers[connection], connection, task)
                    busy.append(connection)
                    break
            idle.clear()
            if not busy:
                return
            for ready in wait(busy):
                assert isinstance(ready, Connection)
                yield _receive(workers[ready], ready)
                busy.remove(ready)
                idle.append(ready)


@contextmanager
def work_beside(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Do `work` in another process meanwhile. What the block is given waits for its end, and raises
    what `work` raised, or WorkerError. Where the block is left before, the process is stopped.
    """
    with _start_all([lambda connection: connection.send(_try(work))]) as workers:
        [(connection, worker)] = workers.items()
        yield lambda: _receive(worker, connection)


def _serve(work: Callable[[Any], Any]) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        with suppress(EOFError):
            while True:
                connection.send(_try(partial(work, connection.recv())))

    return serve


def _try(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _send(worker: BaseProcess, connection: Connection, task: Any) -> None:
    try:
        connection.send(task)
    except OSError:
        raise _explain_end(worker) from None


def _explain_end(worker: BaseProcess) -> WorkerError:
    worker.join()
    code = worker.exitcode or 0
    how = f"was killed by signal {-code}" if code < 0 else f"stopped with exit code {code}"
    return WorkerError(f"a process that helps {how}; is there enough memory?")


def _receive(worker: BaseProcess, connection: Connection) -> Any:
    try:
        result, error = connection.recv()
    except (EOFError, OSError):
        raise _explain_end(worker) from None
    if error:
        raise error
    return result


@contextmanager
def _start_all(
    serves: Sequence[Callable[[Connection], None]],
) -> Iterator[dict[Connection, BaseProcess]]:
    """Processes by the connection to each; in the end none of them is left."""
    context = multiprocessing.get_context("fork")
    gone, alive = os.pipe()
    workers: dict[Connection, BaseProcess] = {}
    try:
        for serve in serves:
            ours, its = context.Pipe()
            foreign = (ours, *workers)
            worker: BaseProcess = context.Process(
                target=_live, args=(serve, its, foreign, gone, alive)
            )
            worker.start()
            its.close()
            workers[ours] = worker
        yield workers
    finally:
        for connection, worker in workers.items():
            connection.close()
            worker.terminate()
            worker.join()
        os.close(alive)
        os.close(gone)


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Ctrl-C waits: in the midst of a fork, Python would drop it. A mask would not do, as numpy has
    threads that could be asked instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[object] = []
    before = signal.signal(signal.SIGINT, lambda *caught: held.append(caught))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(signal.SIGINT)


def _live(
    serve: Callable[[Connection], None],
    connection: Connection,
    foreign: Sequence[Connection],
    gone: int,
    alive: int,
) -> None:
    """In the worker. Ctrl-C reaches all processes of a terminal; the first of them decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing of the parent's is cleaned up here
    os.close(alive)
    for one in foreign:
        one.close()
    threading.Thread(target=_stop_when_alone, args=[gone], daemon=True).start()
    gc.freeze()  # what is there stays; and little of what work makes refers back to itself
    gc.set_threshold(50_000)
    with suppress(OSError):  # nobody listens any more
        serve(connection)


def _stop_when_alone(gone: int) -> None:
    os.read(gone, 1)
    os._exit(1)
