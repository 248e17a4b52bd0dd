"""A repository as most people write it over an ORM: a Session for each call; get, change, commit."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, ForeignKey, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from benchmarks.contestants.base import BUSY_TIMEOUT_SECONDS, Contestant, Seen


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 - SQLAlchemy's name


class SessionModel(Base):
    __tablename__ = "sessions"

    session_id: Mapped[str] = mapped_column(primary_key=True, default=lambda: str(uuid4()))
    status: Mapped[str] = mapped_column(default="pending")
    progress_step: Mapped[int | None]
    progress_total: Mapped[int | None]
    progress_description: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC), onupdate=lambda: datetime.now(UTC))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    request_data: Mapped[dict[str, Any]]
    scenes: Mapped[list["SceneModel"]] = relationship(order_by="SceneModel.scene_number", cascade="all, delete-orphan")


class SceneModel(Base):
    __tablename__ = "scenes"

    scene_id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id", ondelete="CASCADE"), index=True)
    scene_number: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    payload: Mapped[dict[str, Any]]


class OrmRepository(Contestant):
    """SQLAlchemy's own pool and transactions, WAL, and the same `synchronous` as the others."""

    def __init__(self, path: Path, durability: str) -> None:
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, pool_size=40)
        synchronous = "FULL" if durability == "full" else "NORMAL"

        @event.listens_for(self._engine, "connect")
        def _set_up(connection: sqlite3.Connection, record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")

        Base.metadata.create_all(self._engine)
        self._sessions = sessionmaker(self._engine)

    def create(self, story: str) -> str:
        request = {"story_text": story, "media_type": "cinematic", "num_scenes": 5}
        with self._sessions.begin() as orm:
            session = SessionModel(metadata_={"user": "u-17"}, request_data=request)
            orm.add(session)
            orm.flush()
            return session.session_id

    def set_status(self, session_id: str, status: str) -> None:
        with self._sessions.begin() as orm:
            _get(orm, session_id).status = status

    def set_progress(self, session_id: str, step: int, total: int, description: str) -> None:
        with self._sessions.begin() as orm:
            session = _get(orm, session_id)
            session.progress_step = step
            session.progress_total = total
            session.progress_description = description

    def add_scene(self, session_id: str, scene: Mapping[str, Any]) -> None:
        with self._sessions.begin() as orm:
            session = _get(orm, session_id)
            session.scenes.append(SceneModel(scene_number=scene["scene_number"], payload=dict(scene)))

    def read(self, session_id: str) -> list[int]:
        with self._sessions() as orm:
            return [scene.payload["scene_number"] for scene in _get(orm, session_id).scenes]

    def look(self, session_id: str) -> Seen | None:
        with self._sessions() as orm:
            session = orm.get(SessionModel, session_id)
            if session is None:
                return None
            return Seen(session.status, session.progress_step, [scene.scene_number for scene in session.scenes])

    def close(self) -> None:
        self._engine.dispose()


def _get(orm: Session, session_id: str) -> SessionModel:
    session = orm.get(SessionModel, session_id)
    if session is None:
        raise LookupError(session_id)
    return session
