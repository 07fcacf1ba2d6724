from typing import Any

from django.db import transaction
from django.db.models import Count, Max, QuerySet, Sum
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.http import etag
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from .models import Task
from .serializers import TaskSerializer


def etag_of_list(request: Request, user_id: str) -> str | None:
    if "limit" in request.query_params:
        return None
    state = Task.objects.filter(user_id=user_id).aggregate(
        count=Count("*"), versions=Sum("version"), updated_at=Max("updated_at")
    )
    updated_at = state["updated_at"]
    return f'"{state["count"]}-{state["versions"]}-{updated_at and updated_at.timestamp()}"'


class TaskViewSet(
    mixins.CreateModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet
):
    serializer_class = TaskSerializer

    def get_queryset(self) -> QuerySet[Task]:
        return Task.objects.filter(user_id=self.kwargs["user_id"])

    def filter_queryset(self, queryset: QuerySet[Task]) -> QuerySet[Task]:
        limit = self.request.query_params.get("limit") if self.action == "list" else None
        return queryset if limit is None else queryset[: int(limit)]

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(user_id=self.kwargs["user_id"])

    @method_decorator(etag(etag_of_list))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @action(detail=True, methods=["post"])
    def toggle(self, _request: Request, pk: str, **_kwargs: Any) -> Response:
        # Locked until the commit, so that no toggle is lost.
        with transaction.atomic():
            task = get_object_or_404(self.get_queryset().select_for_update(), pk=pk)
            task.toggle()
        return Response(self.get_serializer(task).data)
