"""Read a table in a process of its own, with bounds, and say whether that went well. Run by ``.tables`` as a script.

It imports polars and nothing of this package: it starts quickly, and may die of what it reads.
"""

import json
import sys


def main() -> None:
    """Read as ``sys.argv[1]`` says (JSON), and print {} or {"error": ...}."""
    ask = json.loads(sys.argv[1])
    sys.path.insert(0, ask["polars"])
    import polars

    bound(ask["memory"], ask["seconds"])
    try:
        read(polars, **ask["read"])
        answer = {}
    except BaseException as error:  # a panic is no Exception
        lines = str(error).strip().splitlines() or [type(error).__name__]
        answer = {"error": lines[0][:300]}
    print(json.dumps(answer))


def bound(memory: int, seconds: int) -> None:
    """Let this process take so many further bytes and seconds, where the system knows bounds."""
    try:
        import resource
    except ImportError:
        return
    try:
        with open("/proc/self/statm") as file:
            memory += int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (OSError, ValueError):  # no Linux, or a tighter bound is set already
        pass
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(polars, path, how, wanted, n_rows) -> None:  # type: ignore[no-untyped-def]
    """Read a table as the library will, down to its last value."""
    if how == "parquet":
        known = polars.read_parquet_schema(path)
        if hasattr(polars, "read_parquet_metadata"):
            polars.read_parquet_metadata(path)
        columns = [name for name in known if name in wanted] or None
        frame = polars.read_parquet(path, columns=columns, n_rows=n_rows)
    elif how == "jsonl":
        frame = polars.read_ndjson(path)
    else:
        frame = polars.read_csv(path, separator="\t" if how == "tsv" else ",")
    for column in frame.get_columns():
        column.to_list()


if __name__ == "__main__":
    main()
