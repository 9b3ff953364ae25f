"""The process that reads the first rows of tables: `python -m tui_ft.inspection.first_rows`."""

from __future__ import annotations

import sys

import orjson

from tui_ft.data import DataError
from tui_ft.survey.first_rows import readable


def main(path: str, most: int) -> None:
    """Write rows as JSON; say on stderr why there are none."""
    try:
        rows = readable(path, most)
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    found = [{"line": row.line, "values": row.values} for row in rows]
    sys.stdout.buffer.write(orjson.dumps(found, default=str))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
