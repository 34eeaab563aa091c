"""Converting a checkpoint on the workers of a Dask cluster (extra ``dask``).

A task is a tensor, or some pieces of a large one.  Tasks are pure: they read from files and write the same
bytes to the same place, however often they run, so that one whose worker died is done again elsewhere.  The
process that converts makes the files and moves them into place.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, NamedTuple, Self

import numpy as np

from cfloat._core.text import printable, shown
from cfloat._files.checkpoint import Checkpoint, load
from cfloat._files.conversion_summary import Summary
from cfloat._files.copying import Counter, Job, Recipe
from cfloat._files.encoding import Encoding
from cfloat._files.opened_file import Stamp
from cfloat._files.paths import shown_path
from cfloat._files.tensor_entry import Entry
from cfloat._files.tensor_metadata import Description
from cfloat._files.tensor_pieces import Piece
from cfloat._files.write_safetensors import Part, SafetensorsWriter
from cfloat._version import __version__
from cfloat.errors import CFloatError, ClusterError, FileError, MissingExtraError

from ._watch import WORKER_TIMEOUT, Watch, check_timeout

try:
    import dask
    import distributed
    from distributed.comm import get_address_host_port, normalize_address
except ImportError:
    raise MissingExtraError(
        "a conversion on a cluster needs Dask: pip install 'cfloat[dask]'"
    ) from None

#: Seconds within which a scheduler or a worker answers, or is not to be reached.
TIMEOUT: Final = 5

# How often a scheduler is greeted whose welcome came with something else.
_WELCOMES: Final = 5

# Seconds to wait for a task, at most, until it is asked who is there.
_POLL: Final = 0.1

#: Elements of a large tensor that are one task, about.
TASK_SIZE: Final = 1 << 24


class Outcome(NamedTuple):
    """What a task found, and did.

    Attributes
    ----------
    result : object
        A description, largest magnitudes or biases.
    summary : Summary
        What it adds to the summary.
    nbytes : float
        How many bytes of the source are done.
    """

    result: Any
    summary: Summary
    nbytes: float


class Task(NamedTuple):
    """Some work on a tensor: a function of its job, a way to the file, a counter, and arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


# What workers do


def work(
    version: str,
    path: str,
    stamps: list[Stamp],
    recipe: Recipe,
    entries: dict[str, Entry],
    part: Part,
    task: Task,
) -> Outcome:
    """Do a task, on a worker.

    Parameters
    ----------
    version : str
        The package's version where the task comes from.
    path : str
        The checkpoint.
    stamps : list of Stamp
        What its files were where the task comes from.
    recipe : Recipe
        What the tensor's job is made of.
    entries : dict of str to Entry
        What becomes of the tensor, where the task comes from.
    part : Part
        The way to the file that is made.
    task : Task
        What to do.

    Returns
    -------
    Outcome

    Raises
    ------
    ClusterError
        If this worker has another version.
    FileError
        If another checkpoint has taken the place of this one.
    CFloatError
        As `cfloat._files.convert.convert`.
    """
    if version != __version__:
        raise ClusterError(f"a worker has cfloat {__version__}, and this is cfloat {version}")
    done = [0.0]

    def note(nbytes: float, total: int) -> None:
        del total
        done[0] = nbytes

    counter = Counter(Summary(), note, 0)
    try:
        job = recipe.job(_opened(path, stamps))
    except KeyError:
        job = None
    # what is of another size would be written over its neighbours
    if job is None or job.entries != entries:
        raise FileError(f"{shown_path(path)}: it has changed during the conversion")
    with part:
        result = task.function(job, part, counter, *task.arguments)
    return Outcome(result, counter.summary, done[0])


# The checkpoint that each thread has opened last: to read the header of a large one takes a while.
_last = threading.local()


def _opened(path: str, stamps: list[Stamp]) -> Checkpoint:
    key = (path, stamps)
    if getattr(_last, "key", None) != key:
        _last.key = _last.checkpoint = None
        checkpoint = load(path)
        checkpoint.source.check_same(stamps)
        _last.key, _last.checkpoint = key, checkpoint
    found: Checkpoint = _last.checkpoint
    return found


def _run(job: Job, part: Part, counter: Counter) -> Any:
    return job.run(part, counter)


def _survey(job: Encoding, part: Part, counter: Counter, pieces: list[Piece]) -> Any:
    return job.survey(pieces, counter)


def _choose(job: Encoding, part: Part, counter: Counter) -> Any:
    return job.choose(counter)


def _encode(job: Encoding, part: Part, counter: Counter, pieces: list[Piece], biases: Any) -> None:
    job.encode(pieces, biases, part, counter)


# What there is to do


#: Tasks that can run at once, for which their results come back; in the end a description.
Steps = Generator[list[Task], list[Any], Description | None]


def _steps(job: Job, splits: bool, writer: SafetensorsWriter, counter: Counter) -> Steps:
    """Yield the tasks of a tensor, those together that can run at once."""
    groups = list(_groups(job.pieces())) if splits and isinstance(job, Encoding) else []
    if len(groups) < 2 or not isinstance(job, Encoding):
        (result,) = yield [Task(_run)]
        description: Description | None = result
        return description
    biases = None
    if job.is_searched:
        parts = yield [Task(_survey, (group,)) for group in groups]
        biases = job.decide(np.maximum.reduce(parts))
    elif job.is_chosen:
        (biases,) = yield [Task(_choose)]
    yield [Task(_encode, (group, biases)) for group in groups]
    return job.finish(biases, writer, counter)


def _groups(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Put pieces together until they are worth a task."""
    group: list[Piece] = []
    start = 0
    for piece in pieces:
        if group and piece.stop - start > TASK_SIZE:
            yield group
            group = []
        if not group:
            start = piece.start
        group.append(piece)
    if group:
        yield group


class Cluster:
    """The workers of a Dask scheduler, within a ``with`` block; `run` is a runner of conversions.

    Parameters
    ----------
    address : str
        The scheduler's address, as ``tcp://host:8786``.
    worker_timeout : float, optional
        Seconds for which a conversion goes on without a result while no worker is heard of, or the scheduler
        does not answer.  At least 5: workers that compute make themselves heard, every half second or, where
        there are hundreds, every few; one that still imports this package is silent for a while.

    Raises
    ------
    ArgumentValueError
        If the time is none, or too short.
    ClusterError
        If there is no scheduler.
    """

    def __init__(self, address: str, worker_timeout: float = WORKER_TIMEOUT) -> None:
        check_timeout(worker_timeout)
        self._address = address
        self._worker_timeout = worker_timeout
        with _errors(address), _without_logs(), ExitStack() as stack:
            # a client whose address makes no sense takes long to be rid of
            get_address_host_port(normalize_address(address), strict=True)
            if address.startswith("tls:") and distributed.Security().tls_ca_file is None:
                raise ClusterError(
                    f"scheduler {shown(address)}: Dask's configuration has no certificates for it"
                )
            # what was on a worker that died is done anew as soon as it is given up
            stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": TIMEOUT}))
            self._client = stack.enter_context(_connected(address))
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _without_logs():
            self._open.close()

    def run(
        self, checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
    ) -> dict[str, Description]:
        """Do the jobs of a file: what `cfloat._files.convert.convert` takes as its `runner`.

        It returns when all are done.  Workers write into the file themselves; the counter is told of what is
        done as tasks end, and adds up in the order of the jobs.

        Parameters
        ----------
        checkpoint : Checkpoint
            Where the tensors are.
        jobs : list of Job
            What becomes of them.
        writer : SafetensorsWriter
            The file that they are written to.
        counter : Counter
            Counts what is done.

        Returns
        -------
        dict of str to Description
            Of the tensors that have one.

        Raises
        ------
        ClusterError
            If workers fail, none is heard of for too long, or the scheduler is lost.
        CFloatError
            As `cfloat._files.convert.convert`.
        """
        with _errors(self._address), _without_logs():
            watch = Watch(self._client, self._address, self._worker_timeout)
            tasks = _FileTasks(self._client, watch, checkpoint, writer)
            try:
                return tasks.run(jobs, counter)
            except BaseException:
                tasks.cancel()
                raise


class _Client(distributed.Client):
    """A client that is closed if it was not welcomed as it expects: distributed's own goes on then."""

    def __init__(self, address: str) -> None:
        try:
            super().__init__(address, timeout=TIMEOUT, set_as_default=False)
        except AssertionError:
            self.close()
            raise


def _connected(address: str) -> _Client:
    """Connect to a scheduler.

    A client asserts that the scheduler's welcome comes alone, but what the scheduler tells all its clients
    just then, as that a worker's results are lost, may come in the same message.  Then it is greeted anew.
    """
    for _ in range(_WELCOMES):
        with suppress(AssertionError):
            return _Client(address)
    raise ClusterError(f"scheduler {shown(address)}: its welcome is not what Dask's client expects")


class _FileTasks:
    """The tasks of one file."""

    def __init__(
        self, client: Any, watch: Watch, checkpoint: Checkpoint, writer: SafetensorsWriter
    ) -> None:
        self._client = client
        self._watch = watch
        self._path = os.fspath(checkpoint.source.file.absolute)
        self._stamps = checkpoint.source.stamps
        self._splits = checkpoint.reads_anywhere
        self._writer = writer
        self._places: dict[Any, tuple[int, int]] = {}
        self._done: queue.SimpleQueue[tuple[Any, Outcome | Exception]] = queue.SimpleQueue()

    def run(self, jobs: list[Job], counter: Counter) -> dict[str, Description]:
        """Do jobs."""
        # in the order of the jobs, whatever that of the tasks
        summaries = [Counter(Summary(), None, 0) for _ in jobs]
        steps = [
            _steps(job, self._splits, self._writer, own)
            for job, own in zip(jobs, summaries, strict=True)
        ]
        results: list[list[Any]] = [[] for _ in jobs]
        missing = [0] * len(jobs)
        descriptions: list[Description | None] = [None] * len(jobs)

        def go_on(index: int, sent: list[Any] | None) -> None:
            try:
                tasks = next(steps[index]) if sent is None else steps[index].send(sent)
            except StopIteration as stop:
                descriptions[index] = stop.value
                return
            results[index], missing[index] = [None] * len(tasks), len(tasks)
            for place, task in enumerate(tasks):
                self._submit(jobs[index], task, (index, place))

        for index in range(len(jobs)):
            go_on(index, None)
        while self._places:
            future, outcome = self._next()
            index, place = self._places.pop(future)
            results[index][place] = outcome.result
            summaries[index].summary.add(outcome.summary)
            counter.advance(outcome.nbytes)
            missing[index] -= 1
            if not missing[index]:
                go_on(index, results[index])
        for own in summaries:
            counter.summary.add(own.summary)
        return {
            job.name: found
            for job, found in zip(jobs, descriptions, strict=True)
            if found is not None
        }

    def _next(self) -> tuple[Any, Outcome]:
        """Wait for a task, for as long as there is a sign of life; what it raised is raised."""
        while True:
            try:
                future, outcome = self._done.get(timeout=_POLL)
            except queue.Empty:
                self._watch.look()
                continue
            self._watch.note()
            if isinstance(outcome, Exception):
                # what the task has raised, or nobody could be asked for what it gave
                raise outcome if future.status == "error" else self._watch.lost()
            return future, outcome

    async def _fetch(self, future: Any) -> None:
        """Bring a task's outcome here, in the client's own thread: from those who are gone it never comes."""
        try:
            (outcome,) = await self._client.gather([future], asynchronous=True)
        except Exception as error:
            outcome = error
        self._done.put((future, outcome))

    def _submit(self, job: Job, task: Task, place: tuple[int, int]) -> None:
        part = self._writer.part(job.entries)
        # not pure to Dask, which would give a later conversion the results of this one
        future = self._client.submit(
            work,
            __version__,
            self._path,
            self._stamps,
            job.recipe,
            job.entries,
            part,
            task,
            pure=False,
        )
        self._places[future] = place
        self._client.loop.add_callback(self._fetch, future)

    def cancel(self) -> None:
        """Take back what is not done yet."""
        with suppress(Exception):
            self._client.cancel(list(self._places))


@contextmanager
def _errors(address: str) -> Iterator[None]:
    """Turn whatever the cluster raises into an error of one line."""
    try:
        yield
    except CFloatError:
        raise
    except distributed.KilledWorker:
        raise ClusterError(
            f"scheduler {shown(address)}: several workers died, one after the other, of the same task"
        ) from None
    except Exception as error:
        reason = printable(" ".join(str(error).split()))[:300] or type(error).__name__
        raise ClusterError(f"scheduler {shown(address)}: {reason}") from None


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep distributed from logging what an error tells in one line."""
    # each of its modules has a logger with a level of its own
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    levels = {one: one.level for one in loggers if one.name.partition(".")[0] == "distributed"}
    for one in levels:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in levels.items():
            one.setLevel(level)
