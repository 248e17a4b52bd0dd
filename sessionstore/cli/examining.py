"""The command that examines a store, and mends what is safe to mend."""

from typing import Annotated, Any

import typer

from sessionstore.cli.opening import AsJson, Database, open_manager
from sessionstore.cli.output import print_json, print_rows, say
from sessionstore.cli.own_code import RequestModel, SceneModel, load_models
from sessionstore.errors import SessionManagerError
from sessionstore.models import FAILED, Finding


def check(
    deep: Annotated[bool, typer.Option("--deep", help="Read every page and row, also of a store over 64 MB.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended without losing anything; reads everything too.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail (exit 1) on warnings too.")] = False,
    request_model: RequestModel = None,
    scene_model: SceneModel = None,
    as_json: AsJson = False,
    database: Database = None,
) -> None:
    """Examine the store; fails when something is wrong: exit 4 for the schema, 5 for damage, 1 for anything else."""
    findings = _examine(database, load_models(request_model, scene_model), deep=deep, repair=repair)
    if as_json:
        print_json(findings)
    else:
        print_rows(
            ["check", "severity", "message", "remedy"],
            [[finding.check, finding.severity, finding.message, finding.remedy] for finding in findings],
        )
    for finding in findings:
        if finding.repaired:
            say(f"Repaired {finding.check}: {finding.repaired}.")
    worst = max(finding.exit_code for finding in findings)
    if strict and any(finding.severity == "warning" for finding in findings):
        worst = max(worst, FAILED)
    if worst:
        raise typer.Exit(worst)


def _examine(database: str | None, models: dict[str, Any], *, deep: bool, repair: bool) -> list[Finding]:
    """The findings; of a store that cannot be opened, the one that says why."""
    try:
        with open_manager(database, **models) as manager:
            return manager.repair() if repair else manager.check(deep=deep)
    except SessionManagerError as error:
        return [Finding.unopened(error)]
