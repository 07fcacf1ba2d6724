"""The shortest route that FastAPI has: what no server built on it can do without."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/api/{user_id}/tasks")
async def hello(user_id: str) -> dict[str, str]:
    return {"hello": user_id}
