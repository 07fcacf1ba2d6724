import uuid

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Task",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("user_id", models.TextField()),
                ("title", models.CharField(max_length=200)),
                ("description", models.TextField(max_length=2000, null=True)),
                ("completed", models.BooleanField(default=False)),
                ("completed_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("version", models.IntegerField(default=1)),
            ],
            options={
                "db_table": "tasks",
                "ordering": ("-created_at", "-id"),
                "indexes": [models.Index(fields=["user_id", "-created_at", "-id"], name="tasks_list")],
            },
        ),
    )
