"""Signs messages (Standard Webhooks 1.0.0, https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

from taskwell.services.webhooks import secret_bytes


def message_id(webhook_id: UUID, part: int | str) -> str:
    """The id of an event at a subscription, the same for all attempts. `part`: its version."""
    return f"whk_{webhook_id.hex}_{part}"


def signed(secrets: Sequence[str], identifier: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove these very bytes, by each secret. `timestamp`: of the attempt, in seconds."""
    content = f"{identifier}.{timestamp}.".encode() + body
    signatures = (hmac.digest(secret_bytes(secret), content, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": f"{timestamp}",
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }
