"""How Alembic runs here: on a connection that the store hands over, or on one made for Alembic's own commands."""

from logging.config import fileConfig

from alembic import context
from sqlalchemy import Connection

from sessionstore.persistence.tables import Base

config = context.config


def run(connection: Connection) -> None:
    """Runs the scripts inside the transaction that `connection` is in; whoever began it commits it."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    context.run_migrations()


def run_from_command_line() -> None:
    """For `alembic upgrade` and its like: under the same lock and checks as when the store migrates."""
    # Only here: a store that hands its connection over must not open another.
    from sessionstore.persistence.engines import migrating_connection
    from sessionstore.settings import load_settings

    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    with migrating_connection(load_settings()) as connection:
        run(connection)


handed_over = config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
elif context.is_offline_mode():
    raise SystemExit("SQL scripts cannot be printed: the migrations look at the database; run them online")
else:
    run_from_command_line()
