"""taskwell with every request through FastAPI and nothing coalesced: `... slow_path PORT`."""

import sys

import uvicorn

from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.http import logs

if __name__ == "__main__":
    settings = Settings()
    logs.install(settings)
    app = create_app(settings, fast_path=False)
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
