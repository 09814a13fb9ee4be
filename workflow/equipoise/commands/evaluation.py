"""Commands around benchmarks: bringing their data here, and comparing the pool with them."""

from typing import Annotated

import typer

app = typer.Typer()

ConfigArgument = Annotated[str, typer.Option("--config", help="An experiment's YAML.")]


@app.command("fetch", epilog="Example:  equipoise fetch --config workflow/experiments/smollm2-135m.yaml")
def fetch_command(config: ConfigArgument) -> None:
    """Brings base, pool and benchmark data from the hub into the local cache, so that every later stage runs offline."""
    from equipoise.config_file import read_config
    from equipoise.data.fetch import fetch

    fetch(read_config(config))


@app.command("decontaminate", epilog="Example (after make demo):  equipoise decontaminate --config config.yaml")
def decontaminate_command(config: ConfigArgument) -> None:
    """Finds pool rows that share a 13-gram with a test item, per task; needs prepare_targets."""
    from equipoise.config_file import read_config
    from equipoise.data.decontaminate import decontaminate

    decontaminate(read_config(config))
