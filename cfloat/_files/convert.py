"""Converting checkpoints: the jobs of all tensors, and files that are there whole or not at all."""

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cfloat._core.text import shown
from cfloat.errors import FileError

from . import tensor_metadata
from .checkpoint import Checkpoint, load
from .conversion_plan import Plan
from .conversion_summary import Summary
from .copying import Copying, Counter, Decoding, Job, Progress
from .encoding import Encoding, Scratch
from .exporting import Exporting
from .file_errors import refusing_damage
from .output_files import Outputs, outputs_for
from .paths import shown_path
from .quantization_config import model_configuration, write_configuration
from .replace import write_text
from .safetensors_header import check_name
from .tensor_entry import Entry
from .tensor_metadata import Description
from .tensor_selection import chosen_names, is_linear_weight
from .write_safetensors import SafetensorsWriter


class Runner(Protocol):
    """What does the jobs of a file, in any order, and gives the descriptions of the tensors that have one."""

    def __call__(
        self, checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
    ) -> dict[str, Description]: ...


def run_here(
    checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
) -> dict[str, Description]:
    """Do the jobs of a file in this process, one after the other."""
    del checkpoint
    descriptions = {}
    for job in jobs:
        said = job.run(writer, counter)
        if said is not None:
            descriptions[job.name] = said
    return descriptions


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    plan: Plan,
    progress: Progress | None = None,
    *,
    runner: Runner = run_here,
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
    runner : Runner, optional
        What does the jobs of a file; in this process if none is given.  The files are the same ones, byte for
        byte.

    Returns
    -------
    Summary

    Raises
    ------
    FileError, ArgumentTypeError, ArgumentValueError, MissingExtraError
        If a file cannot be read or written, or the plan does not fit.  No file is left behind then.
    ClusterError
        If a runner's cluster fails; likewise.

    Notes
    -----
    Biases: with `axis` a tensor of fewer than two axes has one bias, and with `block` one of no axes.

    Stochastic rounding: all tensors share one stream.  Element i of a tensor takes word ``offset + i``, and
    the offsets are running sums of the sizes of the tensors that are encoded, in the order of their names.
    The file's metadata have seed and offset of each: ``cfloat.encode(x, fmt, bias, rounding="stochastic",
    seed=seed, offset=offset)`` gives its codes.
    """
    plan = plan.checked()
    checkpoint = load(source)
    outputs = outputs_for(checkpoint, Path(target))
    jobs = _jobs(checkpoint, plan)
    summary = Summary(seed=plan.seed)
    total = sum(entry.nbytes for entry in checkpoint.source.entries.values())
    counter = Counter(summary, progress, total)
    folder = next(iter(outputs.files)).parent
    if plan.export:
        # refused now, if it is
        model_configuration(folder, outputs.index_path is not None, checkpoint.path)
    made = not folder.exists()
    with refusing_damage(folder):
        folder.mkdir(exist_ok=True)
    writers: list[SafetensorsWriter] = []
    try:
        weight_map: dict[str, str] = {}
        for path, names in outputs.files.items():
            shard = [jobs[name] for name in names if name in jobs]
            writers.append(_write_file(path, shard, checkpoint, counter, runner))
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


def _finish(
    outputs: Outputs,
    writers: list[SafetensorsWriter],
    weight_map: dict[str, str],
    summary: Summary,
    plan: Plan,
    checkpoint: Checkpoint,
) -> None:
    """Move all files into place: what names the others last."""
    if plan.export:
        ignored = sorted(
            name.removesuffix(".weight")
            for name in summary.copied
            if name in checkpoint and is_linear_weight(checkpoint, name)
        )
        strategy = "channel" if _one_a_row(checkpoint, plan, summary.converted) else "tensor"
        folder = next(iter(outputs.files)).parent
        is_model = outputs.index_path is not None
        write_configuration(folder, is_model, checkpoint.path, strategy, ignored)
    if outputs.index_path is None:
        writers[0].commit()
        return
    # an older index would name files of two conversions while they are moved
    with refusing_damage(outputs.index_path):
        outputs.index_path.unlink(missing_ok=True)
    for writer in writers:
        writer.commit()
    index = {
        "metadata": {"total_size": sum(writer.data_bytes for writer in writers)},
        "weight_map": dict(sorted(weight_map.items())),
    }
    write_text(outputs.index_path, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
    summary.files.append(outputs.index_path)


def _write_file(
    path: Path, jobs: "list[Job]", checkpoint: Checkpoint, counter: Counter, runner: Runner
) -> SafetensorsWriter:
    """Write one file, which is not moved into its place yet."""
    metadata = checkpoint.metadata
    entries: dict[str, Entry] = {}
    for job in jobs:
        entries |= job.entries
    longest = {
        job.name: job.longest_description for job in jobs if job.longest_description is not None
    }
    room = dict(metadata) | (tensor_metadata.written(longest) if longest else {})
    writer = SafetensorsWriter(path, entries, room)
    try:
        # in the order of the file, so that the disk is written from front to end
        ordered_jobs = sorted(jobs, key=lambda job: writer.offset(next(iter(job.entries))))
        descriptions = runner(checkpoint, ordered_jobs, writer, counter)
        ordered = {name: descriptions[name] for name in longest}
        writer.finish(dict(metadata) | (tensor_metadata.written(ordered) if ordered else {}))
    except BaseException:
        writer.discard()
        raise
    return writer


def _jobs(checkpoint: Checkpoint, plan: Plan) -> dict[str, Job]:
    """List what is to be done, tensor by tensor in the order of their names."""
    jobs: dict[str, Job] = {}
    chosen = chosen_names(checkpoint, plan)
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
