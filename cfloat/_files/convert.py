"""Converting checkpoints: the jobs of all tensors, and files that are there whole or not at all."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from cfloat._compensate.round_compensated import OUTPUT
from cfloat._core.float_modes import in_default_modes
from cfloat._core.text import shown
from cfloat._core.threads import get_num_threads
from cfloat.errors import ArgumentValueError, FileError

from . import fp8, model_folder, tensor_metadata
from .checkpoint import FORMAT_KEY, Checkpoint, load
from .compensating import Compensating
from .conversion_plan import REDUCTION, FloatName, Plan
from .conversion_summary import Summary
from .copying import Copying, Counter, Decoding, Job, Progress
from .encoding import Encoding, Scratch
from .export_choice import Choice, export_choice, modules_of
from .exporting import Exporting
from .file_errors import refusing_damage
from .finished_tensors import FinishedTensors
from .moments import Given, Moments
from .names_by_reason import by_kept, by_reason
from .output_files import Outputs, is_of_folder, output_folder, outputs_for
from .paths import as_path, shown_path
from .piece_workers import MAX_WORKERS, do_pieces
from .quantization_config import Configuration, configuration_beside, quantization_config
from .replace import Replacement, prepare_text
from .safetensors_header import check_name
from .tensor_entry import Entry
from .tensor_metadata import Description
from .tensor_selection import chosen_names
from .transposed_weights import transposed_weights
from .write_safetensors import SafetensorsWriter


class Runner(Protocol):
    """What does the jobs of a file, in any order, and gives the descriptions of the tensors that have one."""

    def __call__(
        self, checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
    ) -> dict[str, Description]: ...


def run_here(
    checkpoint: Checkpoint, jobs: list[Job], writer: SafetensorsWriter, counter: Counter
) -> dict[str, Description]:
    """Do the jobs of a file in this process: one after the other, and short ones by several threads."""
    descriptions: dict[str, Description] = {}
    threads = min(get_num_threads(), MAX_WORKERS)
    for is_short, together in groupby(jobs, lambda job: threads > 1 and job.is_short):
        group = list(together)
        if is_short and len(group) > 1:
            descriptions |= _run_together(checkpoint, group, threads, writer, counter)
            continue
        for job in group:
            said = job.run(writer, counter)
            if said is not None:
                descriptions[job.name] = said
    return descriptions


class _Untold(Counter):
    """What has been done of a tensor by some thread, of which another one tells."""

    def advance(self, nbytes: float) -> None:
        """Say nothing."""


def _run_together(
    checkpoint: Checkpoint,
    jobs: list[Job],
    threads: int,
    writer: SafetensorsWriter,
    counter: Counter,
) -> dict[str, Description]:
    """Do jobs, each by one thread: where there are few pieces, most of them would wait for the last."""
    # put together in the order of the jobs, whatever that in which they end
    counters = [_Untold(Summary(), None, 0) for _ in jobs]
    descriptions: dict[str, Description] = {}

    def run(index: int, worker: int) -> None:
        del worker
        said = jobs[index].run(writer, counters[index])
        if said is not None:
            descriptions[jobs[index].name] = said

    def tell(index: int) -> None:
        names = checkpoint.stored_names(jobs[index].name)
        counter.advance(sum(checkpoint.source.entries[name].nbytes for name in names))

    do_pieces(run, range(len(jobs)), min(threads, len(jobs)), tell)
    for own in counters:
        counter.summary.add(own.summary)
    return descriptions


@in_default_modes
def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    plan: Plan,
    progress: Progress | None = None,
    *,
    runner: Runner = run_here,
    moments: Given | None = None,
    resume: str | os.PathLike[str] | None = None,
    also_read: Sequence[str | os.PathLike[str]] = (),
) -> Summary:
    """Convert a checkpoint.

    One piece of a tensor is in memory at a time; or one tensor, if it takes more than its largest values to
    choose a bias, or if it is converted back.  A tensor that is rounded by moments is in memory whole,
    twice as float64, about, beside its moments and as much for their factor.  Files are written under
    temporary names, and moved into place when all are complete: weights, then other files, an index, and
    ``config.json`` last.

    Parameters
    ----------
    source : str or path-like
        As in `cfloat.load`.
    target : str or path-like
        A ``.safetensors`` file; or a folder, or an index in one, that gets the source's shards, and the other
        files of a source that is a folder.
    plan : Plan
        What to do.
    progress : callable, optional
        Called with the bytes read and all that there are to read.
    runner : Runner, optional
        What does the jobs of a file; in this process if none is given.  The files are the same ones, byte for
        byte.
    moments : mapping of str to sequence of SecondMoment, optional
        The inputs of each weight's products, of each way in which it is used: the weight is rounded for the
        outputs, as by `round_compensated`, at the biases that it has without them, or as "output" has them.
        Names are those of the checkpoint, or tied to them; others are named in the notes.
    resume : str or path-like, optional
        With moments, a folder that keeps each weight that is rounded by them until all is done: where an
        earlier run was cut, this one takes them from there.  It is made if it is not there, and removed in
        the end.  What it has is known by the weight, its moments, the format and the biases asked for.
    also_read : sequence of str or path-like, optional
        Other files, which nothing may overwrite: that of the moments.

    Returns
    -------
    Summary

    Raises
    ------
    FileError, ArgumentTypeError, ArgumentValueError, MissingExtraError
        If a file cannot be read or written, or the plan or moments do not fit.  No file is left behind then.
    ClusterError
        If a runner's cluster fails; likewise.

    Notes
    -----
    Biases: with `axis` a tensor of fewer than two axes has one bias, and with `block` one of no axes.  What
    "reduction" is of a matrix, the class of the model says, as its ``config.json`` names it (extra
    ``transformers``); where that is not known, matrices are taken for Linear layers', and a note says so.

    Stochastic rounding: all tensors share one stream.  Element i of a tensor takes word ``offset + i``, and
    the offsets are running sums of the sizes of the tensors that are encoded, in the order of their names.
    Names of one tensor in memory (of one storage, offset, shape and strides) share its words, and it counts
    once.  Where a file by itself is written, they are one tensor there too, as safetensors' `save_model` has
    it: under the first name, and the metadata have the others.
    The file's metadata have seed and offset of each: ``cfloat.encode(x, fmt, bias, rounding="stochastic",
    seed=seed, offset=offset)`` gives its codes.
    """
    plan = plan.checked()
    if moments is not None:
        _check_with_moments(plan, runner)
    elif plan.bias == OUTPUT:
        raise ArgumentValueError(f"bias is {OUTPUT!r}, which takes moments (--moments)")
    elif resume is not None:
        raise ArgumentValueError(
            "resume is for tensors that are rounded by moments, and there are none"
        )
    checkpoint = load(source)
    source, target = as_path(source), as_path(target)
    outputs = outputs_for(checkpoint, target, [as_path(each) for each in also_read])
    total = sum(entry.nbytes for entry in checkpoint.source.entries.values())
    folder = next(iter(outputs.files)).parent
    model = model_folder.folder_of(source, checkpoint.source, target, folder)
    # refused now, if they are
    others = model_folder.companions(model, folder, checkpoint.source)
    configuration = Configuration(model, folder)
    choice = _choice(checkpoint, plan, configuration.value)
    tied = checkpoint.tied_names(choice.chosen)
    transposed: frozenset[str] = frozenset()
    notes: list[str] = []
    if plan.axis == REDUCTION:
        model_said = _said_of_model(checkpoint, configuration.value)
        transposed, notes = transposed_weights(checkpoint, choice.chosen, model_said)
    known = None if moments is None else Moments(checkpoint, moments)
    finished = None
    if resume is not None:
        _check_apart_from(resume, source, folder)
        finished = FinishedTensors(resume)
    jobs = _jobs(checkpoint, plan, choice, tied, transposed, known, finished)
    if known is not None:
        notes += _of_moments(known, jobs)
    summary = Summary(seed=plan.seed, exported_by=choice.by, in_float=choice.left, notes=notes)
    summary.unreadable = checkpoint.unreadable
    metadata = dict(checkpoint.metadata)
    is_once = not plan.export and _says_ties(outputs, checkpoint, folder)
    if tied and is_once and not tied.keys() & {*metadata, tensor_metadata.KEY, FORMAT_KEY}:
        jobs = {name: job for name, job in jobs.items() if name not in tied}
        summary.tied = tied
        metadata |= tied
    elif tied:
        summary.notes.append(f"tied, and stored as equal copies: {by_kept(tied)}")
    if parted := {name: kept for name, kept in checkpoint.tied_names().items() if name not in tied}:
        summary.notes.append(f"tied no longer, as one is converted alone: {by_kept(parted)}")
    read = sum(
        checkpoint.source.entries[each].nbytes
        for name in jobs
        for each in checkpoint.stored_names(name)
    )
    counter = Counter(summary, progress, read)
    writers: list[SafetensorsWriter] = []
    copies: list[Replacement] = []
    said: list[Replacement] = []
    is_shared = bool(plan.export or others.copied) or is_of_folder(target, outputs)
    with output_folder(folder, is_shared), model_folder.made_for(folder, others):
        try:
            weight_map: dict[str, str] = {}
            for path, names in outputs.files.items():
                shard = [jobs[name] for name in names if name in jobs]
                writers.append(_write_file(path, shard, checkpoint, metadata, counter, runner))
                weight_map |= {name: path.name for job in shard for name in job.entries}
            summary.bytes_in = total
            summary.bytes_out = sum(writer.nbytes for writer in writers)
            summary.files = [writer.path for writer in writers]
            copies = model_folder.copy(others, folder)
            summary.companions, summary.left = others.copied, others.left
            summary.notes += _configure(configuration, summary, plan, checkpoint, choice)
            if outputs.index_path is not None:
                said.append(_prepared(outputs.index_path, _index_text(writers, weight_map)))
                summary.files.append(outputs.index_path)
            for name, text in configuration.written.items():
                said.append(_prepared(folder / name, text))
            _move_into_place(writers, copies, said)
        except BaseException:
            for writer in writers:
                writer.discard()
            for replacement in (*copies, *said):
                replacement.discard()
            raise
    if finished is not None:
        summary.notes += finished.remove()
    return summary


def _check_apart_from(resume: str | os.PathLike[str], source: Path, folder: Path) -> None:
    """Refuse to keep tensors where others look for a model's files."""
    kept = Path(os.path.realpath(as_path(resume)))
    read = Path(os.path.realpath(source))
    if kept.is_relative_to(read) or kept == Path(os.path.realpath(folder)):
        raise FileError(
            f"{shown_path(resume)}: has the model's own files; resume takes another folder"
        )


def _check_with_moments(plan: Plan, runner: Runner) -> None:
    """Refuse what moments do not go with."""
    if plan.to is not None:
        raise ArgumentValueError(
            "moments are for rounding to codes; there is none in converting back"
        )
    if plan.rounding != "ties_to_even":
        raise ArgumentValueError(
            f"rounding is {shown(plan.rounding)}; with moments it takes 'ties_to_even'"
        )
    if runner is not run_here:
        raise ArgumentValueError("moments do not go with the workers of a cluster")


def _of_moments(known: Moments, jobs: Mapping[str, Job]) -> list[str]:
    """Say which moments are of nothing that is rounded here."""
    of_none = dict.fromkeys(known.unknown, "the checkpoint has no such tensor")
    coded = {
        name: "codes already, which are not rounded anew"
        for name, job in jobs.items()
        if isinstance(job, Exporting) and known.has(name)
    }
    return [f"moments not used: {names}: {reason}" for reason, names in by_reason(of_none | coded)]


def _choice(checkpoint: Checkpoint, plan: Plan, configuration: Mapping[str, Any] | None) -> Choice:
    """Choose the tensors that are converted."""
    if not plan.export:
        return Choice(chosen_names(checkpoint, plan))
    return export_choice(checkpoint, plan, _said_of_model(checkpoint, configuration))


def _said_of_model(
    checkpoint: Checkpoint, configuration: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Give a model's configuration: that of its folder, or else the one beside its file."""
    return configuration_beside(checkpoint.path) if configuration is None else configuration


def _configure(
    configuration: Configuration,
    summary: Summary,
    plan: Plan,
    checkpoint: Checkpoint,
    choice: Choice,
) -> list[str]:
    """Decide on a model's configuration; give what its user must know."""
    if plan.to is not None:
        remaining = [name for name in summary.copied if checkpoint.is_encoded(name)]
        scaled = any(checkpoint.description(name) is None for name in summary.converted)
        modules: set[str] = set()
        if remaining and scaled:
            modules = modules_of(checkpoint, summary.converted, configuration.value)
        return configuration.write_back(modules, remaining, scaled)
    if not plan.export:
        return configuration.write_codes()
    layout = _scale_layout(checkpoint, plan, choice.chosen)
    said = quantization_config(layout, choice.ignored, plan.dynamic)
    return configuration.write_export(said) + choice.notes


def _index_text(writers: list[SafetensorsWriter], weight_map: Mapping[str, str]) -> str:
    index = {
        "metadata": {"total_size": sum(writer.data_bytes for writer in writers)},
        "weight_map": dict(sorted(weight_map.items())),
    }
    return json.dumps(index, indent=2, ensure_ascii=False) + "\n"


def _prepared(path: Path, text: str) -> Replacement:
    with refusing_damage(path):
        return prepare_text(path, text)


def _move_into_place(
    writers: list[SafetensorsWriter], others: list[Replacement], said: list[Replacement]
) -> None:
    """Move all files into place: weights, other files, and at the end what tells of the weights.

    Whatever tells of older weights is taken away before.  So a process that dies in between leaves weights
    that nothing tells of, and never an index or a configuration beside weights of another conversion.
    """
    moved = False
    try:
        for replacement in said:
            with refusing_damage(replacement.path):
                replacement.retire()
        for writer in writers:
            writer.commit()
            moved = True
        for replacement in (*others, *said):
            with refusing_damage(replacement.path):
                replacement.commit()
    except BaseException:
        for replacement in () if moved else said:
            # the older weights are all there still
            with suppress(OSError):
                replacement.restore()
        raise


def _write_file(
    path: Path,
    jobs: "list[Job]",
    checkpoint: Checkpoint,
    metadata: Mapping[str, str],
    counter: Counter,
    runner: Runner,
) -> SafetensorsWriter:
    """Write one file, which is not moved into its place yet."""
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


def _says_ties(outputs: Outputs, checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether a reader learns from the file that names are tied: one without a model's configuration."""
    alone = outputs.index_path is None and len(outputs.files) == 1
    beside = (checkpoint.path.parent / "config.json", folder / "config.json")
    return alone and not any(path.exists() for path in beside)


def _jobs(
    checkpoint: Checkpoint,
    plan: Plan,
    choice: Choice,
    tied: Mapping[str, str],
    transposed: Collection[str],
    moments: Moments | None,
    finished: FinishedTensors | None,
) -> dict[str, Job]:
    """List what is to be done, tensor by tensor in the order of their names; tied ones become the same."""
    jobs: dict[str, Job] = {}
    chosen = choice.chosen
    layout = _scale_layout(checkpoint, plan, chosen) if plan.export else None
    offset = 0
    scratch = Scratch()
    offsets: dict[str, int] = {}
    for name in checkpoint:
        with refusing_damage(checkpoint.path, name):
            check_name(name)
        if name not in chosen:
            if plan.export and checkpoint.is_encoded(name):
                # what is left in an export is left as values: its readers do not know these codes
                jobs[name] = Decoding(checkpoint, name, _dtype_before(checkpoint, name))
            else:
                jobs[name] = Copying(checkpoint, name)
            continue
        if plan.to is not None:
            jobs[name] = Decoding(checkpoint, name, plan.to)
        elif layout is not None and checkpoint.is_encoded(name):
            jobs[name] = Exporting(checkpoint, name, plan, layout)
        else:
            kept = tied.get(name)
            same = None if kept is None else offsets.get(kept)
            offsets[name] = offset if same is None else same
            shape = checkpoint.shape_of(name)
            own = plan.of(tied.get(name, name)).along_reduction(shape, name in transposed)
            if moments is None:
                jobs[name] = Encoding(checkpoint, name, own, offsets[name], layout, scratch)
            else:
                jobs[name] = Compensating(checkpoint, name, own, layout, scratch, moments, finished)
            if same is None:
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


def _dtype_before(checkpoint: Checkpoint, name: str) -> FloatName:
    """Choose the dtype that holds a tensor's codes: bfloat16 if they were made of it, or float32."""
    said = checkpoint.description(name)
    return "bfloat16" if said is not None and said.dtype == "BF16" else "float32"


def _scale_layout(checkpoint: Checkpoint, plan: Plan, names: Collection[str]) -> fp8.ScaleLayout:
    """Find where an export's scales lie: one a row, if one tensor has biases a row."""
    if isinstance(plan.block, tuple):
        return fp8.ScaleLayout("block", plan.block)
    rows = plan.axis == 0 or any(
        not isinstance(checkpoint.read_bias(name), int)
        for name in names
        if checkpoint.format_of(name)
    )
    return fp8.ScaleLayout("channel" if rows else "tensor")
