"""Converting checkpoints: which tensors go where, and files that are there whole or not at all."""

import fnmatch
import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from . import fp8, tensor_metadata
from .checkpoint import Checkpoint, load
from .jobs import (
    Copying,
    Counter,
    Decoding,
    Encoding,
    Exporting,
    Job,
    Progress,
    Scratch,
)
from .plan import Plan, Summary
from .reader import INDEX_NAME, Entry, ShardedSource, Source
from .storage import check_writable, refusing_damage, shown_path, write_text
from .tensor_metadata import Description
from .writer import SafetensorsWriter, check_name

#: Modules that are no linear layers, or by custom stay in full precision: an export leaves them as they are
#: unless they are named.
NOT_LINEAR: Final = ("*embed*", "*wte*", "*wpe*", "*lm_head*", "*norm*")


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    plan: Plan,
    progress: Progress | None = None,
    *,
    scheduler: str | None = None,
) -> Summary:
    """Convert a checkpoint.

    One piece of a tensor is in memory at a time; or one tensor, if it takes more than its largest values to
    choose a bias, or if it is converted back.  Files are written under temporary names, and moved into place
    when all are complete, an index last.

    Parameters
    ----------
    source : str or path-like
        As in `cfloat.load`.
    target : str or path-like
        A ``.safetensors`` file; or a folder, or an index in one, that gets the source's shards.
    plan : Plan
        What to do.
    progress : callable, optional
        Called with the bytes read and all that there are to read.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers do the work: they see the same files under the same
        names as this process, and write into the files that it makes.  The files are the same ones, byte
        for byte.

    Returns
    -------
    Summary

    Raises
    ------
    FileError, ArgumentTypeError, ArgumentValueError, MissingExtraError
        If a file cannot be read or written, or the plan does not fit.  No file is left behind then.
    ClusterError
        If the scheduler is not to be reached, or has no workers, or these fail; likewise.

    Notes
    -----
    Biases: with `axis` a tensor of fewer than two axes has one bias, and with `block` one of no axes.

    Stochastic rounding: all tensors share one stream.  Element i of a tensor takes word ``offset + i``, and
    the offsets are running sums of the sizes of the tensors that are encoded, in the order of their names.
    The file's metadata have seed and offset of each: ``cfloat.encode(x, fmt, bias, rounding="stochastic",
    seed=seed, offset=offset)`` gives its codes.
    """
    plan = plan.checked()
    if scheduler is None:
        return _convert(source, target, plan, progress, _run_here)
    from cfloat.dask._cluster import Cluster

    with Cluster(scheduler) as cluster:
        return _convert(source, target, plan, progress, cluster.run)


class _Run(Protocol):
    """What does jobs of a file, in any order, and returns the descriptions of those that have one."""

    def __call__(
        self, checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
    ) -> dict[str, Description]: ...


def _run_here(
    checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
) -> dict[str, Description]:
    descriptions = {}
    for job in jobs:
        said = job.run(writer, counter)
        if said is not None:
            descriptions[job.name] = said
    return descriptions


def _convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    plan: Plan,
    progress: Progress | None,
    run: _Run,
) -> Summary:
    checkpoint = load(source)
    outputs = _outputs(checkpoint, Path(target))
    jobs = _jobs(checkpoint, plan)
    summary = Summary(seed=plan.seed)
    total = sum(entry.nbytes for entry in checkpoint.source.entries.values())
    counter = Counter(summary, progress, total)
    folder = next(iter(outputs.files)).parent
    if plan.export:
        _configuration(folder, outputs.listing is not None, checkpoint)
    made = not folder.exists()
    with refusing_damage(folder):
        folder.mkdir(exist_ok=True)
    writers: list[SafetensorsWriter] = []
    try:
        weight_map: dict[str, str] = {}
        for path, names in outputs.files.items():
            shard = [jobs[name] for name in names if name in jobs]
            writers.append(_write_file(path, shard, checkpoint, counter, run))
            weight_map |= {name: path.name for job in shard for name in job.entries}
        summary.bytes_in = total
        summary.bytes_out = sum(writer.nbytes for writer in writers)
        summary.files = [writer.path for writer in writers]
        _finish(outputs, writers, weight_map, summary, plan, checkpoint)
    except BaseException:
        for writer in writers:
            writer.discard()
        if made:
            with suppress(OSError):  # it has files, if some were in place already
                folder.rmdir()
        raise
    return summary


class _Outputs(NamedTuple):
    """The files to write, each with the names of the tensors that go into it, and their index if any."""

    files: dict[Path, list[str]]
    listing: Path | None  # the index


def _outputs(checkpoint: Checkpoint, target: Path) -> _Outputs:
    source = checkpoint.source
    wanted = target.name.lower()
    sharded = wanted.endswith(".index.json") or target.is_dir() or not target.suffix
    if not sharded:
        if not wanted.endswith(".safetensors"):
            raise FileError(f"{shown_path(target)}: not .safetensors, nor a folder or an index")
        check_writable(target)
        _check_apart(source, [target])
        return _Outputs({target: list(checkpoint)}, None)
    if not os.fspath(target) or target.name == "":
        raise FileError(f"{shown_path(target)}: not the name of a file or a folder")
    folder = target.parent if wanted.endswith(".index.json") else target
    index = target if wanted.endswith(".index.json") else folder / INDEX_NAME
    if not isinstance(source, ShardedSource):
        if index == target:
            raise FileError(f"{shown_path(target)}: an index, and there is one file to convert")
        if os.path.lexists(index):
            raise FileError(
                f"{shown_path(index)}: would be read instead of what is to be written; remove it first"
            )
        files = {folder / "model.safetensors": list(checkpoint)}
        outputs = _Outputs(files, None)
    else:
        files = {
            folder / name: [key for key in checkpoint if key in shard.entries]
            for name, shard in source.shards.items()
        }
        outputs = _Outputs(files, index)
    _check_apart(source, [*files, index])
    return outputs


def _check_apart(source: Source, targets: list[Path]) -> None:
    paths = [source.path]
    if isinstance(source, ShardedSource):
        paths += [shard.path for shard in source.shards.values()]
    read = {os.path.realpath(path) for path in paths}
    for target in targets:
        if os.path.realpath(target) in read:
            raise FileError(f"{shown_path(target)}: would overwrite what is to be read")


def _finish(
    outputs: _Outputs,
    writers: list[SafetensorsWriter],
    weight_map: dict[str, str],
    summary: Summary,
    plan: Plan,
    checkpoint: Checkpoint,
) -> None:
    """Move all files into place: what names the others last."""
    if plan.export:
        folder = next(iter(outputs.files)).parent
        _write_configuration(folder, outputs.listing is not None, summary, plan, checkpoint)
    if outputs.listing is None:
        writers[0].commit()
        return
    # an older index would name files of two conversions while they are moved
    with refusing_damage(outputs.listing):
        outputs.listing.unlink(missing_ok=True)
    for writer in writers:
        writer.commit()
    index = {
        "metadata": {"total_size": sum(writer.data_bytes for writer in writers)},
        "weight_map": dict(sorted(weight_map.items())),
    }
    write_text(outputs.listing, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
    summary.files.append(outputs.listing)


def _write_file(
    path: Path, jobs: "list[Job]", checkpoint: Checkpoint, counter: Counter, run: _Run
) -> SafetensorsWriter:
    """Write one file, which is not moved into its place yet."""
    metadata = checkpoint.metadata
    entries: dict[str, Entry] = {}
    for job in jobs:
        entries |= job.entries
    longest = {job.name: job.longest for job in jobs if job.longest is not None}
    room = dict(metadata) | (tensor_metadata.written(longest) if longest else {})
    writer = SafetensorsWriter(path, entries, room)
    try:
        # in the order of the file, so that the disk is written from front to end
        ordered_jobs = sorted(jobs, key=lambda job: writer.offset(job.name))
        descriptions = run(checkpoint, ordered_jobs, writer, counter)
        ordered = {name: descriptions[name] for name in longest}
        writer.finish(dict(metadata) | (tensor_metadata.written(ordered) if ordered else {}))
    except BaseException:
        writer.discard()
        raise
    return writer


def _jobs(checkpoint: Checkpoint, plan: Plan) -> dict[str, Job]:
    """Return what is to be done, tensor by tensor in the order of their names."""
    jobs: dict[str, Job] = {}
    chosen = _chosen(checkpoint, plan)
    channels = plan.export and _one_a_row(checkpoint, plan, chosen)
    offset = 0
    scratch = Scratch()
    for name in checkpoint:
        with refusing_damage(checkpoint.path, name):
            check_name(name)
        if name not in chosen:
            jobs[name] = Copying(checkpoint, name)
            continue
        if plan.to is not None:
            jobs[name] = Decoding(checkpoint, name, plan.to)
        elif checkpoint.is_encoded(name):
            jobs[name] = Exporting(checkpoint, name, plan, channels)
        else:
            jobs[name] = Encoding(checkpoint, name, plan, offset, channels, scratch)
            offset += checkpoint.source.entries[name].size
    # in all files together: an index has each name once
    taken: set[str] = set()
    for job in jobs.values():
        for name in job.entries:
            if name in taken:
                raise FileError(
                    f"{shown_path(checkpoint.path)}: there would be two tensors {shown(name)}"
                )
            taken.add(name)
    return jobs


def _one_a_row(checkpoint: Checkpoint, plan: Plan, names: Collection[str]) -> bool:
    """Whether an export has one scale a row, which one tensor with biases a row is enough for."""
    return plan.axis == 0 or any(
        not isinstance(checkpoint.read_bias(name), int)
        for name in names
        if checkpoint.format_of(name)
    )


def _chosen(checkpoint: Checkpoint, plan: Plan) -> set[str]:
    """Return the names of the tensors that are to be converted."""
    names = list(checkpoint)
    for pattern in (*plan.include, *plan.exclude):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ArgumentValueError(f"no tensor has a name like {shown(pattern)}")
    exclude = tuple(plan.exclude)
    if plan.export and not plan.include:
        exclude += NOT_LINEAR
    chosen = set()
    for name in names:
        if plan.include and not any(fnmatch.fnmatchcase(name, p) for p in plan.include):
            continue
        if any(fnmatch.fnmatchcase(name, p) for p in exclude):
            continue
        if plan.export and not _is_linear_weight(checkpoint, name):
            continue
        if plan.to is not None:
            wanted = checkpoint.is_encoded(name)
        else:
            wanted = checkpoint.is_float(name) or (plan.export and _is_exportable(checkpoint, name))
            if checkpoint.is_encoded(name) and not wanted:
                raise FileError(
                    f"{shown_path(checkpoint.path)}: {printable(name)}: converted already; convert it back "
                    "first (--to float32), or exclude it"
                )
        if wanted:
            chosen.add(name)
    if not chosen:
        kind = "coded" if plan.to is not None else "floating-point"
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to convert: no {kind} tensor")
    return chosen


def _is_linear_weight(checkpoint: Checkpoint, name: str) -> bool:
    return name.split(".")[-1] == "weight" and len(checkpoint.shape_of(name)) == 2


def _is_exportable(checkpoint: Checkpoint, name: str) -> bool:
    fmt = checkpoint.format_of(name)
    return fmt is not None and fp8.stored_format(fmt) is not None


def _write_configuration(
    folder: Path, is_model: bool, summary: Summary, plan: Plan, checkpoint: Checkpoint
) -> None:
    """Write what compressed-tensors is to know beside the files: into a model's config.json, or by itself."""
    ignored = sorted(
        name.removesuffix(".weight")
        for name in summary.copied
        if name in checkpoint and _is_linear_weight(checkpoint, name)
    )
    channels = _one_a_row(checkpoint, plan, summary.converted)
    said = fp8.configuration("channel" if channels else "tensor", ignored)
    value = _configuration(folder, is_model, checkpoint)
    if value is None:
        write_text(folder / "quantization_config.json", json.dumps(said, indent=2) + "\n")
        return
    value["quantization_config"] = said
    write_text(folder / "config.json", json.dumps(value, indent=2) + "\n")


def _configuration(folder: Path, is_model: bool, checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Return the config.json to write, without what is said of the export; None if there is none to write.

    FileError if that would overwrite another model's.
    """
    beside, target = checkpoint.path.parent / "config.json", folder / "config.json"
    if os.path.realpath(beside) == os.path.realpath(target):
        return None
    value: dict[str, Any] = {}
    if beside.is_file():
        with refusing_damage(beside):
            value = fp8.read_configuration(beside)
    elif not is_model:
        return None
    value.pop("quantization_config", None)
    if os.path.lexists(target):
        with refusing_damage(target):
            found = fp8.read_configuration(target)
        found.pop("quantization_config", None)
        if found != value:
            raise FileError(
                f"{shown_path(target)}: would be overwritten, and differs from that of the source"
            )
    return value
