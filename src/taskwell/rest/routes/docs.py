"""The page that shows the OpenAPI document. The package contains all of its assets, so it works offline."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from taskwell.http.root_path import link, public

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>taskwell</title>
<link rel="icon" type="image/png" href="{assets}/swagger-ui/favicon-32x32.png">
<link rel="stylesheet" href="{assets}/swagger-ui/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-openapi="{root}/openapi.json"></div>
<noscript><p>The OpenAPI document is at <a href="{root}/openapi.json">/openapi.json</a>.</p></noscript>
<script src="{assets}/swagger-ui/swagger-ui-bundle.js"></script>
<script src="{assets}/docs.js"></script>
</body>
</html>
"""


@router.get("/", name="lead_to_docs")
async def lead_to_docs(request: Request) -> RedirectResponse:
    return RedirectResponse(link(request.scope, "/docs"))


@router.get("/docs", name="show_docs")
async def show_docs(request: Request) -> HTMLResponse:
    root = escape(public(request.scope, ""))
    page = _PAGE.format(root=root, assets=f"{root}/assets")
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


@router.get("/openapi.json", name="show_openapi")
def show_openapi(request: Request) -> JSONResponse:
    """The document, with the root path under which this client reaches the server.

    In a thread: the first one takes a second of computing, in which others are to be answered.
    """
    server = {"url": link(request.scope, "") or "/"}
    return JSONResponse({**request.app.openapi(), "servers": [server]})
