"""Tasks with FastAPI and SQLModel, as the tutorials of the two put them together, with the async session."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Header, HTTPException, Response
from sqlalchemy import Index, desc, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession


def utc_now() -> datetime:
    return datetime.now(UTC)


class TaskBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)


class Task(TaskBase, table=True):
    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_user_id_created_at_id", "user_id", desc("created_at"), desc("id")),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: str
    completed: bool = False
    completed_at: datetime | None = None
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)
    version: int = 1


class TaskCreate(TaskBase):
    pass


class TaskPublic(TaskBase):
    id: UUID
    user_id: str
    completed: bool
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=0, pool_timeout=120)

if engine.dialect.name == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 60000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


async def get_session() -> AsyncGenerator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/api/{user_id}/tasks", response_model=list[TaskPublic])
async def read_tasks(
    user_id: str,
    session: SessionDep,
    response: Response,
    limit: int | None = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Any:
    if limit is None:
        etag = await get_etag(session, user_id)
        if if_none_match == etag:
            return Response(status_code=304, headers={"ETag": etag})
        response.headers["ETag"] = etag
    newest_first = (col(Task.created_at).desc(), col(Task.id).desc())
    tasks = await session.exec(
        select(Task).where(Task.user_id == user_id).order_by(*newest_first).limit(limit)
    )
    return tasks.all()


async def get_etag(session: AsyncSession, user_id: str) -> str:
    statement = select(func.count(), func.sum(Task.version), func.max(Task.updated_at))
    count, versions, updated_at = (await session.exec(statement.where(Task.user_id == user_id))).one()
    return f'"{count}-{versions}-{updated_at and updated_at.timestamp()}"'


@app.post("/api/{user_id}/tasks", response_model=TaskPublic, status_code=201)
async def create_task(user_id: str, task: TaskCreate, session: SessionDep) -> Any:
    db_task = Task(user_id=user_id, **task.model_dump())
    session.add(db_task)
    await session.commit()
    await session.refresh(db_task)
    return db_task


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskPublic)
async def read_task(user_id: str, task_id: UUID, session: SessionDep) -> Any:
    task = await session.get(Task, task_id)
    if not task or task.user_id != user_id:
        raise HTTPException(status_code=404, detail="Task not found")
    return task


@app.post("/api/{user_id}/tasks/{task_id}/toggle", response_model=TaskPublic)
async def toggle_task(user_id: str, task_id: UUID, session: SessionDep) -> Any:
    # Locked until the commit, so that no toggle is lost; SQLite has no such lock.
    task = await session.get(Task, task_id, with_for_update=True)
    if not task or task.user_id != user_id:
        raise HTTPException(status_code=404, detail="Task not found")
    task.completed = not task.completed
    task.updated_at = utc_now()
    task.completed_at = task.updated_at if task.completed else None
    task.version += 1
    session.add(task)
    await session.commit()
    await session.refresh(task)
    return task
