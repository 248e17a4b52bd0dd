"""`python datasette_answers.py FILE`: what Datasette answers, in JSON, to the paths that are lines on standard input.

In a process of its own: Datasette leaves connections for the garbage collector to close; newer Pythons warn of that.
"""

import asyncio
import json
import sys
from typing import Any

from datasette.app import Datasette


async def answers(file: str, paths: list[str]) -> list[Any]:
    datasette = Datasette([file])
    found = [await datasette.client.get(path) for path in paths]
    return [{"status": each.status_code, "rows": each.json().get("rows")} for each in found]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(answers(sys.argv[1], sys.stdin.read().split()))))
