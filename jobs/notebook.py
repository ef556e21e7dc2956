"""JupyterLab in the head's container: `python -P -m jobs.notebook CONTROL_URL REQUIREMENTS`.

`imgbatch cloud jupyter` has the head run it; see `imgbatch.cloud.notebook`. It comes back when the
server is up, which goes on by itself until the machine ends.
"""

from __future__ import annotations

from typing import Annotated

import typer

from imgbatch import terminal
from imgbatch.cloud.notebook import PORT, serve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def notebook(
    control: Annotated[str, typer.Argument(metavar="CONTROL_URL")],
    requirements: Annotated[
        str, typer.Argument(metavar="REQUIREMENTS", help="Pinned packages, packed into one word.")
    ],
    *,
    port: Annotated[int, typer.Option(help="Of 127.0.0.1.")] = PORT,
) -> None:
    """Have JupyterLab up on this machine."""
    serve(control, requirements, port)
    typer.echo(f"JupyterLab listens on 127.0.0.1:{port}")


if __name__ == "__main__":
    terminal.process(app)
