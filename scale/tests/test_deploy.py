"""The manifests in `deploy/`: each is what its schema says, with no key that the schema does not know."""

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from predict.settings import Settings
from predict.tests.conftest import ROOT
from scale.tests.services import scale_python, why_no_ray

DEPLOY = ROOT / "deploy"
KUBERAY = Path(os.environ.get("KUBERAY_CRDS", ROOT.parent / "shared" / "kuberay"))
KUBERNETES = "1.34"
# Anything goes where KubeRay's definitions say so.
_OPEN = "x-kubernetes-preserve-unknown-fields"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def serve_config() -> dict[str, Any]:
    [service] = documents("rayservice.yaml")
    config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    return config


def closed(schema: Any) -> Any:
    """Return a schema of a definition that takes no other keys than those it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    content = {key: closed(value) for key, value in schema.items()}
    if "properties" in content and not content.get(_OPEN):
        content.setdefault("additionalProperties", False)
    if content.pop("x-kubernetes-int-or-string", False):
        content.pop("type", None)
    return content


@cache
def validator_of(kind: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    file = KUBERAY / f"{kind}.yaml"
    if not file.exists():
        pytest.skip(f"no definitions of KubeRay in {KUBERAY} (KUBERAY_CRDS names a folder)")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    [definition] = yaml.load_all(file.read_text(encoding="utf-8"), loader)
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft7Validator(schema)


def problems_with(kind: str, manifest: dict[str, Any]) -> list[str]:
    found = validator_of(kind).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def pod_problems(template: dict[str, Any]) -> list[str]:
    """Return what Kubernetes would not take of a template of pods."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **template}
    return kubernetes_problems(pod)


def kubernetes_problems(manifest: dict[str, Any]) -> list[str]:
    validate = pytest.importorskip("kubernetes_validate")
    try:
        validate.validate(manifest, KUBERNETES, strict=True)
    except validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def templates(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all templates of pods in a manifest."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "template":
                yield inner
            yield from templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from templates(inner)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every key of a manifest."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, content in inner:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(content, dict | list):
            yield from paths(content, (*path, key))


def misspelt(manifest: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[f"{path[-1]}x"] = at.pop(path[-1])
    return changed


FREE = ("metadata", "rayStartParams", "matchLabels", "labels", "limits", "requests")


def spelt(manifest: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the paths whose last key must be one of the schema's: not one of a free mapping."""
    return [
        path
        for path in paths(manifest)
        if not set(path[:-1]) & set(FREE)
        and path not in (("apiVersion",), ("kind",), ("metadata",))
    ]


@pytest.mark.parametrize(("name", "kind"), [("rayservice", "rayservices"), ("rayjob", "rayjobs")])
def test_a_manifest_of_kuberay_is_as_its_definition_says_and_no_key_may_be_misspelt(
    name: str, kind: str
) -> None:
    [manifest] = documents(f"{name}.yaml")
    assert problems_with(kind, manifest) == []
    for path in spelt(manifest):
        assert problems_with(kind, misspelt(manifest, path)), path


@pytest.mark.parametrize("name", ["kubernetes", "rayjob", "rayservice"])
def test_the_pods_are_as_kubernetes_takes_them_and_no_key_may_be_misspelt(name: str) -> None:
    found = [each for manifest in documents(f"{name}.yaml") for each in templates(manifest)]
    assert found
    for template in found:
        assert pod_problems(template) == []
        for path in spelt(template):
            if path[0] == "spec" and len(path) > 1:
                assert pod_problems(misspelt(template, path)), path


def test_every_object_of_the_plain_server_is_as_kubernetes_takes_it() -> None:
    for manifest in documents("kubernetes.yaml"):
        assert kubernetes_problems(manifest) == []
        for path in spelt(manifest):
            if path[:-1] != ("spec", "selector"):  # of a Service: labels
                assert kubernetes_problems(misspelt(manifest, path)), (manifest["kind"], path)


def test_what_selects_the_pods_of_the_plain_server_names_their_labels() -> None:
    deployment, service, scaler, budget = documents("kubernetes.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_the_pods_of_kserve_are_as_kubernetes_takes_them() -> None:
    [manifest] = documents("kserve.yaml")
    predictor = dict(manifest["spec"]["predictor"])
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    assert own <= predictor.keys()
    pod = {"spec": {key: value for key, value in predictor.items() if key not in own}}
    assert pod_problems(pod) == []
    for path in spelt(pod):
        if len(path) > 1:
            assert pod_problems(misspelt(pod, path)), path


@pytest.mark.parametrize("name", ["kubernetes", "kserve", "rayjob", "rayservice"])
def test_no_pod_may_be_root_or_write_to_its_image(name: str) -> None:
    for manifest in documents(f"{name}.yaml"):
        found = [each["spec"] for each in templates(manifest)]
        if manifest["kind"] == "InferenceService":
            found = [manifest["spec"]["predictor"]]
        for pod in found:
            assert pod["securityContext"]["runAsNonRoot"] is True
            for container in pod["containers"]:
                assert container["securityContext"] == {
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert "memory" in container["resources"]["limits"]


# Serve's schemas take keys that they do not know, so they are closed here.
_CHECK = """
import json, sys
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

def unknown(model, given, place=""):
    known = set(model.model_fields)
    for key in given:
        if key not in known:
            yield f"{place}{key}"
    for key, field in model.model_fields.items():
        value = given.get(key)
        inner = [t for t in models_of(field.annotation)]
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and inner:
                found = [list(unknown(m, each, f"{place}{key}.")) for m in inner]
                yield from min(found, key=len)

def models_of(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in models_of(a)]

for config in json.load(sys.stdin):
    problems = list(unknown(ServeDeploySchema, config))
    if not problems:
        ServeDeploySchema.model_validate(config)
    print(json.dumps(problems))
"""


def test_the_configuration_of_serve_is_as_its_schema_says_and_no_key_may_be_misspelt() -> None:
    if reason := why_no_ray():
        pytest.skip(reason)
    config = serve_config()
    free = ("user_config", "args")
    wrong = [path for path in paths(config) if not set(path[:-1]) & set(free)]
    configs = [config, *(misspelt(config, path) for path in wrong)]
    done = subprocess.run(
        [scale_python(), "-c", _CHECK], input=json.dumps(configs), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    right, *others = map(json.loads, done.stdout.splitlines())
    assert right == []
    for path, problems in zip(wrong, others, strict=True):
        assert any(str(problem).endswith(f"{path[-1]}x") for problem in problems), path


def test_user_config_has_keys_of_the_settings_and_no_secret() -> None:
    [application] = serve_config()["applications"]
    [deployment] = application["deployments"]
    keys = {key.lower() for key in deployment["user_config"]}
    assert keys <= set(Settings.model_fields) - {"api_keys", "admin_token"}
    assert application["import_path"] == "scale.serve:build"
