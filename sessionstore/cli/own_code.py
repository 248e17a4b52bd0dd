"""Code of the user's that an option names: a generator, or pydantic models of requests and scenes."""

import importlib
import os
import sys
from typing import Annotated, Any

import typer

RequestModel = Annotated[
    str | None, typer.Option(metavar="MODULE:CLASS", help="The pydantic model of requests, when it is your own.")
]
SceneModel = Annotated[
    str | None, typer.Option(metavar="MODULE:CLASS", help="The pydantic model of scenes, when it is your own.")
]


def load_models(request_model: str | None, scene_model: str | None) -> dict[str, Any]:
    """Those that are given, as arguments of a manager."""
    given = {"request_model": request_model, "scene_model": scene_model}
    return {name: load(value, f"--{name.replace('_', '-')}") for name, value in given.items() if value is not None}


def load(given: str, option: str) -> Any:
    """What MODULE:NAME names."""
    module_name, _, name = given.partition(":")
    if not module_name or not name:
        raise typer.BadParameter(f"{given!r} is not MODULE:NAME", param_hint=option)
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise typer.BadParameter(f"there is no module {error.name} here", param_hint=option) from None
    found = getattr(module, name, None)
    if not callable(found):
        raise typer.BadParameter(f"{module_name} has no {name} that can be called", param_hint=option)
    return found
