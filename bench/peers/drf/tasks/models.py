import uuid

from django.db import models
from django.utils import timezone


class Task(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user_id = models.TextField()
    title = models.CharField(max_length=200)
    description = models.TextField(max_length=2000, null=True)
    completed = models.BooleanField(default=False)
    completed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    version = models.IntegerField(default=1)

    class Meta:
        db_table = "tasks"
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=["user_id", "-created_at", "-id"], name="tasks_list"),)

    def toggle(self) -> None:
        self.completed = not self.completed
        self.updated_at = timezone.now()
        self.completed_at = self.updated_at if self.completed else None
        self.version += 1
        self.save()
