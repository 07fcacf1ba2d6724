from rest_framework.routers import DefaultRouter
from tasks.views import TaskViewSet

router = DefaultRouter(trailing_slash=False)
router.register(r"api/(?P<user_id>[^/.]+)/tasks", TaskViewSet, basename="task")

urlpatterns = router.urls
