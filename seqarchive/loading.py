"""Load: one batch of files, all of it visible by one commit, or nothing.

Read -> hash -> tell new from known -> compress -> publish -> commit. Memory depends on neither
the length of a record nor their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import batches, namespaces
from .batches import Batch
from .cluster import open_cluster
from .errors import BadInput, BadName
from .groups import GroupTask
from .inputs import STDIN, amount_of, label_of, open_input, size_of
from .instances import Instance
from .lanes import Lanes
from .load_options import LoadOptions, LoadReport
from .packing import Packer
from .pipeline import Engine, Pipeline, Progress
from .records import Record
from .storing import Storer
from .workers import Workers
from .writing import Writing

__all__ = ["LoadOptions", "LoadReport", "load", "store_records"]

#: Input that is worth workers, in bytes.
_MUCH = 8 << 20


def _is_much(files: Iterable[str]) -> bool:
    """Whether there is enough to read to start workers."""
    sizes = [amount_of(name) for name in files if name == STDIN or Path(name).exists()]
    return None in sizes or sum(size or 0 for size in sizes) >= _MUCH


def load(
    instance: Instance,
    files: Iterable[str],
    options: LoadOptions,
    progress: Progress = lambda _n_bytes: None,
    *,
    kind: str = "load",
    labels: Mapping[str, str] | None = None,
) -> LoadReport:
    """Load files into an instance as one batch.

    Args:
        files: Names; ``-`` is standard input. Formats and compression are recognised.
        kind: What the log calls it.
        labels: What to call files that the user does not know; they are no collections.

    Raises:
        BadInput: A record or a file that is not right, named with its line.
        AliasConflict: An alias already means another sequence.
        Locked, ReadOnly, NotFound: As they say. The archive is as before, whatever is raised.
        SourceError: The scheduler or its workers failed. NotInstalled: Dask is not there.
    """
    names = list(files)
    if (options.collections or options.fhr is not None) and (len(names) != 1 or labels):
        what = ", ".join(map(str, options.collections)) or "what is said of a collection"
        raise BadName(f"{what} can be of one file, not of {len(names):,}")

    if options.scheduler is not None and not labels:
        return _load_elsewhere(instance, names, options, progress, kind)

    def send(pipeline: Pipeline, _batch: Batch) -> None:
        for name in names:
            pipeline.load(name, progress, (labels or {}).get(name))

    threads = options.threads if _is_much(names) else 0
    return change(instance, kind, send, options, threads=threads)


def _load_elsewhere(
    instance: Instance, names: Sequence[str], options: LoadOptions, progress: Progress, kind: str
) -> LoadReport:
    """Load files that the workers of a scheduler read."""
    assert options.scheduler is not None
    _require_files(names)
    with open_cluster(options.scheduler) as cluster:

        def send(pipeline: Pipeline, batch: Batch) -> None:
            if options.dry_run:  # workers would have to write
                for name in names:
                    pipeline.load(name, progress)
                return
            cluster.send(
                pipeline,
                batch,
                instance.temporary,
                names,
                skip_errors=options.skip_errors,
                progress=progress,
            )

        threads = options.threads if options.dry_run and _is_much(names) else 0
        return change(instance, kind, send, options, threads=threads)


def _require_files(names: Iterable[str]) -> None:
    """Raise unless all are files that others can read too, and what loading them here raises."""
    for name in names:
        is_pipe = name == STDIN or (Path(name).exists() and not Path(name).is_dir())
        if size_of(name) is None and is_pipe:
            raise BadInput(
                "a pipe can be read here alone: make a file of it, or do without --scheduler",
                file=label_of(name),
            )
        with open_input(name):
            pass


def store_records(
    instance: Instance, records: Sequence[Record], options: LoadOptions
) -> LoadReport:
    """Store records that come from no file as one batch. Raises as ``load`` does."""
    return change(
        instance,
        "store",
        lambda pipeline, _: pipeline.load_records(records),
        options,
        threads=0,
    )


def change(
    instance: Instance,
    kind: str,
    send: Callable[[Pipeline, Batch], None],
    options: LoadOptions,
    *,
    threads: int,
) -> LoadReport:
    """Have something sent through the pipeline, as one batch. Raises as ``load`` does."""
    started = time.monotonic()
    if options.naming.namespace in namespaces.COMPUTED:
        raise BadName(
            f"{options.naming.namespace} names are computed from the residues and cannot be loaded"
        )
    instance.require_writable()
    report = LoadReport(namespace=options.naming.namespace, dry_run=options.dry_run)
    task = GroupTask(
        options.naming,
        options.circular,
        options.compression,
        with_sha256=batches.database_keeps_sha256(instance.database),
        with_mask=options.keep_mask,
    )
    with ExitStack() as stack:
        # Before the lock and the database, neither of which a fork may hold.
        workers = stack.enter_context(Workers((task.run, task.compress), threads))
        writing: Writing | None = None
        if options.dry_run and not instance.database.exists():
            connection = batches.connect_for_writing(None)
            stack.callback(connection.close)
        else:
            writing = stack.enter_context(Writing(instance, dry_run=options.dry_run))
            connection = writing.connection
        batch = stack.enter_context(Batch(connection, kind, options.naming.namespace or None))
        with Lanes(threaded=threads > 0) as lanes:
            engine = Engine(task, workers, lanes, threads=threads)
            packer = _packer(writing, engine, batch, options)
            with _publishing(packer, batch, report):
                storer = Storer(batch, packer, options, report)
                pipeline = Pipeline(
                    task,
                    engine=engine,
                    storer=storer,
                    packer=packer,
                    options=options,
                    report=report,
                )
                n_before = connection.total_changes
                send(pipeline, batch)
                batch.aliases.settle()  # before anything is published
                report.unused_circular = storer.unused_circular()
                report.unused_table = storer.unused_table()
                n_rows = connection.total_changes - n_before
        _take_counts(report, batch)
        report.seconds = round(time.monotonic() - started, 3)
        # Of what is skipped as a whole there is at most a row that says which file it was.
        is_empty = bool(report.skipped) and n_rows <= len(report.files)
        is_worth_it = storer.has_changed() if options.is_genome else not is_empty
        if writing is not None and not options.dry_run and is_worth_it:
            report.batch = batch.id
            writing.commit(batch, report.as_dict(), n_records=report.records)
    return report


def _packer(
    writing: Writing | None, engine: Engine, batch: Batch, options: LoadOptions
) -> Packer | None:
    if writing is None or options.dry_run:
        return None
    return Packer(
        writing.journal,
        writing.open_directory(),
        engine.compress,
        shard_bytes=options.shard_bytes,
        new_shard_id=batch.new_shard_id,
    )


@contextmanager
def _publishing(packer: Packer | None, batch: Batch, report: LoadReport) -> Iterator[None]:
    """Publish the last shard at the end; remove what is unfinished if there is an error."""
    if packer is None:
        yield
        return
    try:
        yield
        packer.finish()
    except BaseException:
        packer.abort()
        raise
    for shard_id, path, files in packer.published:
        batch.add_shard(shard_id, path, files)
        report.shards += 1
        report.shard_bytes += files.size_bytes


def _take_counts(report: LoadReport, batch: Batch) -> None:
    if report.namespace:
        report.namespace = batches.spelling(batch.connection, report.namespace)
    report.sequences_added = batch.sequences.n_added
    report.residues_added = batch.sequences.n_residues
    report.aliases_added = batch.aliases.counts.added
    report.aliases_known = batch.aliases.counts.known
    report.aliases_moved = batch.aliases.counts.moved
    report.aliases_kept = batch.aliases.counts.kept
    report.conflicts = list(batch.aliases.counts.conflicts)
