"""The manifests: by the schemas of the versions that they are for, and in agreement with the server."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy import PORT, ROOT, paths_served, settings_from

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")  # preStop's sleep is there since 1.30 without a feature gate of one's own


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


KUSTOMIZATION = read("kustomization.yaml")


def pods() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each pod's specification with its one container."""
    for name in ("migrate.yaml", "server.yaml"):
        pod = read(name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield pod, container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUSTOMIZATION["resources"])
def test_each_is_one_by_the_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(read(name), version, strict=True)


def test_the_schema_finds_what_is_wrong() -> None:
    wrong = read("server.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["second"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_file_is_among_the_resources() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")}
    assert set(KUSTOMIZATION["resources"]) | {"kustomization.yaml"} == files


def test_kustomize_puts_them_together() -> None:
    """With one name of the settings, which changes with them, and the image of the registry."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl")
    done = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {resource["kind"]: resource for resource in yaml.safe_load_all(done.stdout)}
    for resource in made.values():
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    settings = made["ConfigMap"]["metadata"]["name"]
    assert settings.startswith("taskwell-")
    for kind in ("Job", "Deployment"):
        (container,) = made[kind]["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"][0] == {"configMapRef": {"name": settings}}
        assert container["image"].startswith("registry.example.com/taskwell:")


def test_the_settings_are_taken_by_the_server() -> None:
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    environment = dict(literal.split("=", 1) for literal in generator["literals"])
    environment["DATABASE_URL"] = "postgresql://taskwell:secret@db.example.com/taskwell"
    settings = settings_from(environment)
    assert settings.auth == "jwt"
    assert settings.host == ("0.0.0.0",)
    assert settings.migrate_at_start is False
    for _, container in pods():
        assert container["envFrom"] == [
            {"configMapRef": {"name": generator["name"]}},
            {"secretRef": {"name": "taskwell"}},
        ]


def test_no_secret_is_written_in_them() -> None:
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text()
        assert "DATABASE_URL" not in text
        assert "SECRET" not in text


def test_the_probes_ask_for_what_is_served() -> None:
    _, server = list(pods())[1]
    (port,) = server["ports"]
    assert port["containerPort"] == PORT
    asked = {name: server[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in asked.values()} == {port["name"]}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready",
    }  # fmt: skip
    assert {probe["path"] for probe in asked.values()} <= paths_served()
    assert read("service.yaml")["spec"]["ports"][0]["targetPort"] == port["name"]


def test_an_update_takes_no_server_away_before_there_is_another() -> None:
    deployment = read("server.yaml")["spec"]
    assert deployment["replicas"] > 1
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pod = deployment["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + 10  # the server's own 10 s for what still runs


def test_what_selects_the_servers_selects_them_alone() -> None:
    deployment = read("server.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (
        deployment["selector"]["matchLabels"],
        read("service.yaml")["spec"]["selector"],
        read("disruption.yaml")["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    assert read("migrate.yaml")["spec"]["template"]["metadata"]["labels"] != labels


def test_nothing_may_do_more_than_it_has_to() -> None:
    for pod, container in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
        assert pod["automountServiceAccountToken"] is False
        # A service named taskwell sets TASKWELL_PORT=tcp://… in pods that do not say no.
        assert pod["enableServiceLinks"] is False
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
