"""Problem details (RFC 9457) in the OpenAPI document."""

from typing import Annotated

from pydantic import BaseModel, Field

from taskwell.schemas.claim import ClaimHeld


class ProblemViolation(BaseModel):
    """One rule that the request breaks."""

    pointer: Annotated[
        str | None,
        Field(default=None, description="A JSON pointer into the body.", examples=["/title"]),
    ]
    parameter: Annotated[
        str | None,
        Field(default=None, description="A parameter of the path, query or header.", examples=["limit"]),
    ]
    code: Annotated[str, Field(examples=["too_long"])]
    detail: Annotated[str, Field(examples=["must have 1 to 200 characters"])]


class Problem(BaseModel):
    """Every error has this shape."""

    type: Annotated[
        str,
        Field(
            description="A short token that never changes; explained at `/problems/<type>`.",
            examples=["validation_error"],
        ),
    ]
    title: Annotated[str, Field(examples=["Validation Error"])]
    status: Annotated[int, Field(examples=[400])]
    detail: Annotated[
        str,
        Field(description="The reason, as a sentence.", examples=["title: must have 1 to 200 characters"]),
    ]
    instance: Annotated[str, Field(description="The request's path.", examples=["/api/tasks"])]
    errors: Annotated[
        list[ProblemViolation] | None,
        Field(default=None, description="Only with `validation_error`."),
    ]
    index: Annotated[
        int | None,
        Field(
            default=None,
            description="Only from a batch: the index of the operation that failed.",
            examples=[1],
        ),
    ]
    claim: Annotated[
        ClaimHeld | None,
        Field(
            default=None,
            description="Only with `claimed` and `claim_lost`: the claim that holds the task; null if there "
            "is none.",
        ),
    ]
    request_id: Annotated[str, Field(examples=["5c0a6cc4d6c44b7f9b2f7d3c2d7f9b1e"])]
