"""Which schema the code works on, and how a database gets there. The scripts are Alembic's, in `migrations/`."""

from pathlib import Path

from sqlalchemy import Connection

from sessionstore.errors import SchemaError
from sessionstore.persistence.tables import Base

# Every revision in order; a test holds them against the scripts, so that opening a database need not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
SCHEMA_REVISION = REVISIONS[-1]

EXPECTED_COLUMNS = {table.name: set(table.columns.keys()) for table in Base.metadata.sorted_tables}


def scripts_folder() -> Path:
    """The folder of the migration scripts: inside an installed wheel, or beside the package in a checkout.

    Raises:
        FileNotFoundError: when the installation is incomplete.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise FileNotFoundError(f"the migration scripts are neither in {package} nor beside it; install sessionstore again")


def upgrade(connection: Connection) -> None:
    """Brings the schema to the newest revision, inside the transaction that `connection` is in."""
    # Alembic costs a fifth of a second to import, which only a migration has to pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Alembic reads % as the start of an interpolation, and a path may hold one.
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def require_known(found: str | None, database: str) -> None:
    """Refuses a schema that is newer than the code, or that no version of it ever made.

    Raises:
        SchemaError: saying which it is.
    """
    if found is None or found in REVISIONS:
        return
    is_ahead = found.isdecimal() and len(found) == len(SCHEMA_REVISION) and found > SCHEMA_REVISION
    raise SchemaError(
        f"{database}: the schema is at revision {found}, "
        + ("ahead of" if is_ahead else "which is unknown to")
        + f" this code ({SCHEMA_REVISION}); "
        + ("upgrade sessionstore" if is_ahead else "give another path, or restore a backup"),
        found=found,
        expected=SCHEMA_REVISION,
    )


def behind_error(found: str | None, database: str) -> SchemaError:
    """What to say when the schema is old and must not be migrated now."""
    at = f"at revision {found}, behind this code" if found else "not made yet; this code expects revision"
    return SchemaError(
        f"{database}: the schema is {at} ({SCHEMA_REVISION}); "
        "run `sessionstore migrate`, or open it with auto_migrate=True",
        found=found,
        expected=SCHEMA_REVISION,
    )
