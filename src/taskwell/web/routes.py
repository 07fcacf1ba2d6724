"""The routes of the page. Any path below `/app` that is no file shows it, since it names a view."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from taskwell.core.errors import NotFound
from taskwell.http.app_state import app_state
from taskwell.http.root_path import link, public, root_of
from taskwell.web import page
from taskwell.web.files import files, response, version

router = APIRouter(include_in_schema=False)


@router.get("/", name="lead_to_app")
async def lead_to_app(request: Request) -> RedirectResponse:
    """Browsers ask for HTML; programs get to the documentation, as without the page."""
    reads_html = "text/html" in request.headers.get("accept", "")
    target = link(request.scope, "/app" if reads_html else "/docs")
    return RedirectResponse(target, headers={"Vary": "Accept"})


@router.get("/app/sw.js", name="show_worker")
async def show_worker(request: Request) -> Response:
    file = page.worker(root_of(request.scope), app_state(request.scope).settings)
    headers = {
        "Content-Security-Policy": page.WORKER_POLICY,
        # The page is at the path without the slash, which is outside of the script's own folder.
        "Service-Worker-Allowed": public(request.scope, "/app"),
    }
    return response(request, file, immutable=False, headers=headers)


@router.get("/app", name="show_app")
@router.get("/app/{view:path}", name="show_view")
async def show_app(request: Request) -> Response:
    settings = app_state(request.scope).settings
    file = page.page(root_of(request.scope), settings)
    headers = {"Content-Security-Policy": page.policy(settings)}
    return response(request, file, immutable=False, headers=headers)


@router.get("/app-files/{digest}/{name:path}", name="show_file")
async def show_file(request: Request, digest: str, name: str) -> Response:
    """A file of this version; another version's is gone, and the page that asks for it is reloaded."""
    file = files().get(name)
    if file is None or digest != version():
        raise NotFound("There is no such file in this version of the page.")
    return response(request, file, immutable=True)
