from rest_framework import serializers

from .models import Task


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = (
            "id", "user_id", "title", "description", "completed", "completed_at", "created_at", "updated_at",
            "version",
        )  # fmt: skip
        read_only_fields = (
            "id", "user_id", "completed", "completed_at", "created_at", "updated_at", "version",
        )  # fmt: skip
