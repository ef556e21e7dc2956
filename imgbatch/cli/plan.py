"""The command that looks ahead: plan."""

from __future__ import annotations

from imgbatch.terminal import (
    AddInput,
    DatasetUrl,
    DumpName,
    IdColumn,
    Input,
    Json,
    Limit,
    MediaColumn,
    RecipeName,
    Sample,
    say,
)


class _Quiet:
    """Listens and says nothing: the answer is one line of JSON."""

    def listing(self, found: int) -> None: ...

    def close(self) -> None: ...


def plan(
    input: Input,  # noqa: A002 - the word that users see
    dataset: DatasetUrl,
    *,
    recipe: RecipeName = "quick",
    limit: Limit = None,
    sample: Sample = None,
    add_input: AddInput = False,
    dump: DumpName = None,
    media_column: MediaColumn = None,
    id_column: IdColumn = None,
    json: Json = False,
) -> None:
    """Show what `run` would do and why, by table and cause; nothing is written."""
    from imgbatch import planned, settings
    from imgbatch.cli.plan_lines import lines
    from imgbatch.observe.progress import watcher
    from imgbatch.summary import Request

    text = settings.recipe_text(recipe)
    request = Request(
        input,
        dataset,
        text,
        "",
        limit=limit,
        share=sample,
        add_input=add_input,
        dump=dump,
        media_column=media_column,
        id_column=id_column,
    )
    shown = _Quiet() if json else watcher(as_json=False)
    try:
        found = planned.plan(request, settings.read_limits(), shown)
    finally:
        shown.close()
    say(json, "plan", found.record(), lines(found))
