"""Ways in which a file rots."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE = 4096
WAL_HEADER, FRAME_HEADER = 32, 24
FRAME = FRAME_HEADER + PAGE

Damage = Callable[[Path, random.Random], None]

# Other values that validate, in columns of which a checksum says something else; each in one row.
OTHER_VALUES = (
    "UPDATE scenes SET payload = json_set(payload, '$.title', 'Another')",
    "UPDATE scenes SET position = 99 - position",
    "UPDATE sessions SET metadata = '{}'",
    "UPDATE sessions SET request_data = json_set(request_data, '$.story_text', 'Another.')",
    "UPDATE sessions SET progress_step = 0",
    "UPDATE sessions SET error_message = 'Another.'",
    "UPDATE sessions SET started_at = '2020-01-01 00:00:00.000'",
)


def flip_a_bit(database: Path, chance: random.Random) -> None:
    """One bit, anywhere in the file."""
    content = bytearray(database.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    database.write_bytes(content)


def zero_a_page(database: Path, chance: random.Random) -> None:
    """As a disk does that gives back nothing for a sector."""
    content = bytearray(database.read_bytes())
    at = PAGE * chance.randrange(len(content) // PAGE)
    content[at : at + PAGE] = bytes(PAGE)
    database.write_bytes(content)


def swap_pages(database: Path, chance: random.Random) -> None:
    """Two pages, each written where the other belongs."""
    content = bytearray(database.read_bytes())
    one, other = (PAGE * number for number in chance.sample(range(len(content) // PAGE), 2))
    content[one : one + PAGE], content[other : other + PAGE] = (
        content[other : other + PAGE],
        content[one : one + PAGE],
    )
    database.write_bytes(content)


def change_a_value(database: Path, chance: random.Random) -> None:
    """A column gets another value, behind the store's back."""
    statement = chance.choice(OTHER_VALUES)
    table = statement.split()[1]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if table == "scenes":
            key = chance.choice(connection.execute("SELECT session_id, scene_number FROM scenes").fetchall())
            connection.execute(f"{statement} WHERE session_id = ? AND scene_number = ?", key)
        else:
            key = chance.choice(connection.execute("SELECT session_id FROM sessions").fetchall())
            connection.execute(f"{statement} WHERE session_id = ?", key)


def damage_the_wal(database: Path, chance: random.Random) -> None:
    """A bit, the end, a frame that is zeros, or two frames that changed places."""
    wal = database.with_name(f"{database.name}-wal")
    content = bytearray(wal.read_bytes())
    frames = (len(content) - WAL_HEADER) // FRAME
    one, other = (WAL_HEADER + FRAME * number for number in chance.sample(range(frames), 2))
    way = chance.randrange(4)
    if way == 0:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif way == 1:
        del content[chance.randrange(len(content)) :]
    elif way == 2:
        content[one : one + FRAME] = bytes(FRAME)
    else:
        content[one : one + FRAME], content[other : other + FRAME] = (
            content[other : other + FRAME],
            content[one : one + FRAME],
        )
    wal.write_bytes(content)
