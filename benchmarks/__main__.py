"""`python -m benchmarks`: measures, shows, keeps. Exit codes: 0 done, 1 failed or something was lost, 2 usage."""

import sys
from collections.abc import Iterator

from pydantic import ValidationError

from benchmarks import report
from benchmarks.benchmark import run_benchmark
from benchmarks.contestants import PEERS, STORE
from benchmarks.installing import how_to_install
from benchmarks.options import Options, parse
from benchmarks.processes import WorkerFailedError
from benchmarks.progress import Progress
from benchmarks.results import RESULTS, Results


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except WorkerFailedError as error:
        print(error.details, file=sys.stderr)
        return _complain(str(error), 1)
    except OSError as error:
        return _complain(str(error), 1)


def _run(options: Options) -> int:
    if options.again is not None:
        try:
            results = RESULTS.validate_json(options.again.read_bytes())
        except ValidationError:
            return _complain(f"{options.again} is not what --json wrote", 2)
        print(report.results_text(results))
    else:
        _mention_missing_peers(options)
        results = run_benchmark(options)
    if options.json is not None:
        options.json.write_bytes(RESULTS.dump_json(results, indent=2))
    if options.picture is not None:
        # Only now: matplotlib belongs to an extra, and takes a second to import.
        from benchmarks.picture import draw  # noqa: PLC0415

        try:
            draw(results, options.picture)
        except ValueError as error:
            return _complain(str(error), 2)
    for sentence in (losses := list(_losses(results))):
        _complain(sentence, 1)
    return 1 if losses else 0


def _mention_missing_peers(options: Options) -> None:
    missing = [entry.label for entry in PEERS if not entry.is_installed()]
    if options.peers and missing:
        print(f"Left out, for they are not installed: {', '.join(missing)}; {how_to_install('peers')}")


def _losses(results: Results) -> Iterator[str]:
    """A sentence for each run in which this store lost what it had acknowledged."""
    for heat in results.heats:
        for run in heat.of(STORE.name):
            if run.lost:
                where = f"{heat.workload}, {heat.durability}, {heat.workers}"
                yield f"{STORE.label} lost {run.lost} acknowledged writes ({where}): {run.first_loss}"
    cleanup = results.cleanup
    if cleanup is not None and cleanup.lost:
        yield f"{STORE.label} lost {cleanup.lost} acknowledged writes during a cleanup: {cleanup.first_loss}"


def _complain(sentence: str, status: int) -> int:
    Progress().clear()
    print(f"bench: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
