"""`/problems/<type>`: documents a problem type, its meaning and remedy, as HTML or JSON."""

from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from taskwell.core.errors import NotFound
from taskwell.http.problems import PROBLEM_TYPES, ProblemType
from taskwell.http.root_path import public

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{style}">
</head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""


@router.get("", name="list_problems")
async def list_problems(request: Request) -> Response:
    if not _reads_html(request):
        return JSONResponse([_members(problem) for problem in PROBLEM_TYPES.values()])
    folder = _link(request, "/problems")
    items = "\n".join(
        f'<li><a href="{folder}/{token}"><code>{token}</code></a> ({problem.status})</li>'
        for token, problem in PROBLEM_TYPES.items()
    )
    return _page(request, "Problems", f"<ul>\n{items}\n</ul>")


@router.get("/{token}", name="explain_problem")
async def explain_problem(request: Request, token: str) -> Response:
    problem = PROBLEM_TYPES.get(token)
    if problem is None:
        raise NotFound("There is no such problem type; /problems lists them.")
    if not _reads_html(request):
        return JSONResponse(_members(problem))
    content = (
        f"<p><code>{problem.token}</code>, status {problem.status}</p>\n"
        f"<p>{escape(problem.meaning)}</p>\n"
        f"<h2>What to do</h2>\n<p>{escape(problem.remedy)}</p>\n"
        f'<p><a href="{_link(request, "/problems")}">All problems</a></p>'
    )
    return _page(request, problem.title, content)


def _members(problem: ProblemType) -> dict[str, str | int]:
    return {
        "type": problem.token,
        "title": problem.title,
        "status": problem.status,
        "meaning": problem.meaning,
        "remedy": problem.remedy,
    }


def _reads_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _link(request: Request, path: str) -> str:
    return escape(public(request.scope, path))


def _page(request: Request, title: str, content: str) -> HTMLResponse:
    style = _link(request, "/assets/page.css")
    return HTMLResponse(
        _PAGE.format(title=escape(title), content=content, style=style),
        headers={"Content-Security-Policy": _POLICY, "Vary": "Accept"},
    )
