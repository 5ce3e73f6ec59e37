"""`.env.example` names every variable that a settings class or a compose file reads, with its value otherwise."""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic_settings import BaseSettings

import containers
import crypto_pipeline
import local
import producer
import spark_processor

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
PACKAGES = (producer, spark_processor, local, containers, crypto_pipeline)
COMPOSE_FILES = sorted(ROOT.glob("docker-compose*.yml"))


class ComposeLoader(yaml.SafeLoader):
    """YAML with compose's own tags, whose values are read as if they had none."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


ComposeLoader.add_multi_constructor("!", _untagged)


def settings_classes() -> list[type[BaseSettings]]:
    return [*dict.fromkeys(_found())]  # each once, also those that another module builds upon


def _found() -> Iterator[type[BaseSettings]]:
    for module in _modules():
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings:
                yield value


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith(".settings"):
                yield importlib.import_module(found.name)


def variables(settings: type[BaseSettings]) -> list[str]:
    prefix = str(settings.model_config.get("env_prefix", ""))
    return [f"{prefix}{name}".upper() for name in settings.model_fields]


def example() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    matches = [re.fullmatch(r"([A-Z0-9_]+)=(\S+(?: \S+)*|)  # .+", line) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches, strict=True) if not match]
    # compose takes a comment behind nothing for the value, so what is empty stands in quotes
    assert all(match[2] for match in matches if match)
    pairs = [(match[1], match[2].strip('"')) for match in matches if match]
    assert len(dict(pairs)) == len(pairs), "a variable stands twice"
    return dict(pairs)


def test_settings_classes_are_found_in_every_package_and_stand_nowhere_else() -> None:
    assert {one.__module__.partition(".")[0] for one in settings_classes()} == {one.__name__ for one in PACKAGES}
    sources = [file for package in PACKAGES for file in Path(*package.__path__).rglob("*.py")]
    sources += [*(ROOT / "airflow").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert {file.name for file in sources if "pydantic_settings" in file.read_text()} == {"settings.py"}


def of_compose_files() -> dict[str, str | None]:
    """What the compose files take from the environment, by name, with the value it has without one."""
    found: dict[str, str | None] = {}
    for file in COMPOSE_FILES:
        for service in yaml.load(file.read_text(), ComposeLoader)["services"].values():  # noqa: S506 - a safe one
            handed_on = service.get("environment", {}) if isinstance(service, dict) else {}
            found |= {name: None for name, value in handed_on.items() if value is None}
        text = "\n".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
        for name, _, default in re.findall(r"\$\{([A-Z0-9_]+)(:-([^}]*)|:\?[^}]*)?\}", text):
            assert found.get(name) in (None, default), f"{name} has two values"
            found[name] = default
    return found


def test_every_variable_stands_in_the_example_once_and_no_other_does() -> None:
    read = {variable for settings in settings_classes() for variable in variables(settings)}
    assert sorted(example()) == sorted(read | of_compose_files().keys())


def test_the_examples_values_are_those_of_the_compose_files() -> None:
    of_files = {name: default for name, default in of_compose_files().items() if default is not None}
    assert {name: example()[name] for name in of_files} == of_files


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda settings: str(settings.__name__))
def test_the_examples_values_are_the_defaults(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [*os.environ]:
        if variable.upper() in example():
            monkeypatch.delenv(variable)
    defaults = settings()
    shared = {v for other in settings_classes() if other is not settings for v in variables(other)}
    for variable, value in example().items():
        # the demo's defaults are its own servers where the services' are the world's: those are said in words
        if not (settings.__name__ == "DemoSettings" and variable in shared):
            monkeypatch.setenv(variable, value)
    assert settings() == defaults
