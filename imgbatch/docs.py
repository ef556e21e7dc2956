"""The reference, written from the code: commands, settings, tables, errors.

`python -m imgbatch.docs` writes imgbatch/REFERENCE.md; `--check` fails when it is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from imgbatch import analyzers, errors, groupers
from imgbatch.cli import app
from imgbatch.cli.about import described, needed
from imgbatch.copies.faces import FaceSettings
from imgbatch.copies.recipe import OutputSettings
from imgbatch.dataset import SOURCES
from imgbatch.learners.kinds import KINDS
from imgbatch.models import registry
from imgbatch.preprocess.recipe import STEPS
from imgbatch.records import REGIONS
from imgbatch.settings import ENVIRONMENT_PREFIX, Limits, MediaSettings, VideoSettings
from imgbatch.storage.options import GoogleOptions, S3Options
from imgbatch.tables import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgbatch.analyzers import Column
    from imgbatch.settings import Settings

PATH = Path(__file__).with_name("REFERENCE.md")
HEAD = """# Reference

Written from the code by `python -m imgbatch.docs`; `scripts/check` holds it to the code.
"""


def reference() -> str:
    """Return the whole reference as Markdown."""
    sections = [
        HEAD,
        "## Commands\n",
        *_commands(typer.main.get_command(app), "imgbatch"),
        "## Recipe: how media are decoded\n",
        *_settings("[media]", MediaSettings),
        *_settings("[media.video]", VideoSettings),
        "## Recipe of `imgbatch preprocess`: copies\n",
        *(part for step in STEPS.values() for part in _step(step)),
        *_settings("[faces]", FaceSettings),
        *_settings("[output]", OutputSettings),
        "## Models of `imgbatch fit`\n",
        *(part for name, kind in KINDS.items() for part in _settings(f"--model {name}", kind)),
        "## Environment\n",
        *_settings("Limits of a worker; no row depends on them", Limits, prefix=ENVIRONMENT_PREFIX),
        "## Options of a bucket, in the query of its URL\n",
        *_settings("s3://BUCKET/PREFIX?key=value", S3Options),
        *_settings("gs://BUCKET/PREFIX?key=value", GoogleOptions),
        "## Tables\n",
        *_table(SOURCES, "one row per source"),
        *(part for name in analyzers.available() for part in _analyzer(name)),
        "## Groups: labels of finished tables\n",
        *(part for name in groupers.available() for part in _grouper(name)),
        "## Models\n",
        *_models(),
        "## Errors\n",
        *_errors(),
    ]
    return "\n".join(sections).rstrip() + "\n"


def _commands(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for word, below in command.commands.items():
            yield from _commands(below, f"{name} {word}")
        return
    words = [
        p.metavar or str(p.name).upper() for p in command.params if p.param_type_name == "argument"
    ]
    yield f"### `{' '.join([name, *words])}`\n\n{command.help}\n"
    options = [p for p in command.params if p.param_type_name == "option"]
    if options:
        rows = [
            (f"`{'/'.join([*p.opts, *p.secondary_opts])}`", _shown(p.default), p.help or "")
            for p in options
        ]
        yield _rows(("option", "default", "meaning"), rows)


def _settings(title: str, kind: type[Settings], *, prefix: str = "") -> Iterator[str]:
    yield f"### {title}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n"
    rows = [
        (f"`{prefix}{name.upper() if prefix else name}`", _default(field))
        for name, field in kind.model_fields.items()
        if not hasattr(field.annotation, "model_fields")
    ]
    yield _rows(("key", "default"), rows)


def _step(kind: type[Settings]) -> Iterator[str]:
    name = kind.model_fields["name"].default
    yield from _settings(f'[[steps]] name = "{name}"', kind)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    return "the machine's cores" if field.default_factory else _shown(field.default)


def _analyzer(name: str) -> Iterator[str]:
    about = described(name)
    per = "picture" if about["grain"] == "picture" else "source"
    yield from _table(name, f"{about['summary']} One row per {per} that was decoded.")
    if analyzers.has_regions(analyzers.load(name)):
        yield from _table(name + REGIONS, f"What `{name}` found in a picture. One row per region.")
    if words := needed(about):
        yield f"`{name}` needs, by its defaults:\n\n" + "".join(f"- {each}\n" for each in words)
    if about["settings"]:
        rows = [(f"`{k}`", _shown(v.get("default"))) for k, v in about["settings"].items()]
        yield _rows((f"setting of [analyzers.{name}]", "default"), rows)


def _grouper(name: str) -> Iterator[str]:
    about = groupers.describe(name)
    says = inspect.cleandoc(groupers.load(name).__doc__ or "")
    yield f"### `groups/{name}`\n\n{says}\n\nReads {', '.join(about['reads'])}.\n"
    yield _columns(about["columns"])
    if about["settings"]:
        rows = [(f"`{k}`", _shown(v.get("default"))) for k, v in about["settings"].items()]
        yield f"{inspect.cleandoc(groupers.load(name).Settings.__doc__ or '')}\n"
        yield _rows(("--set", "default"), rows)


def _table(name: str, says: str) -> Iterator[str]:
    yield f"### `{name}`\n\n{says}\n"
    yield _columns(columns_of(name))


def _columns(columns: Iterable[Column]) -> str:
    rows = [(f"`{c.name}`", str(c.type), c.unit, c.range, c.missing, c.meaning) for c in columns]
    return _rows(("column", "type", "unit", "range", "missing", "meaning"), rows)


def _models() -> Iterator[str]:
    models = registry.known()
    yield (
        "`imgbatch models pull` brings them here, `push` into a store of your own. The digest is "
        "as its makers publish it, in full or its first digits.\n"
    )
    rows = [
        (f"`{m.name}`", m.task, f"{m.builder} {m.variant}".rstrip(), str(m.input), m.licence.name)
        for m in models
    ]
    yield _rows(("model", "for", "what", "input, pixels", "licence"), rows)
    yield "### What a licence does not allow\n"
    limited = dict.fromkeys(m.licence for m in models if m.licence.limits)
    told = [
        (", ".join(_named(models, licence)), licence.limits, licence.url) for licence in limited
    ]
    yield _rows(("models", "limits", "where it is read"), told)


def _named(models: Sequence[registry.Model], licence: registry.Licence) -> list[str]:
    return [f"`{m.name}`" for m in models if m.licence == licence]


def _errors() -> Iterator[str]:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    ends = [c for c in classes if issubclass(c, errors.RunError) and c is not errors.RunError]
    rows = [
        (str(c.exit_code), f"`{c.__name__}`", _first(c), c.remedy)
        for c in sorted(ends, key=lambda c: c.exit_code)
    ]
    yield "### What ends a run\n"
    yield _rows(("exit code", "class", "what happened", "what to do"), rows)
    own = [c for c in classes if issubclass(c, errors.SourceError) and c is not errors.SourceError]
    yield "### What becomes a row\n"
    yield _rows(("class", "error classes"), [(f"`{c.__name__}`", _whole(c)) for c in own])


def _first(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _whole(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _shown(value: object) -> str:
    return "" if value is None else f"`{value}`"


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the reference, or with --check say whether it is as the code says."""
    text = reference()
    if "--check" not in sys.argv[1:]:
        PATH.write_text(text, "utf-8")
        return 0
    if PATH.exists() and PATH.read_text("utf-8") == text:
        return 0
    sys.stderr.write(f"{PATH.name} is out of date: run `python -m imgbatch.docs`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
