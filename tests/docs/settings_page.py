"""Writes `docs/settings.md` from `app/settings.py`: `python -m tests.docs.settings_page`. A test compares the two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.settings import GIB, MIB, Limits, Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

HEAD = """# Settings

What an operator can choose, as variables of the environment. Options of `model-lab serve` (`--data-dir`,
`--database-url`, `--devices`, `--allow-without-key`, `--access-log`) win over them. A value that cannot be read ends
the command with one line that names the variable; one that is no setting is told and passed over.

Made from `app/settings.py` by `python -m tests.docs.settings_page`.

## The service

"""

LIMITS_HEAD = """
## Limits

What one request may ask for. Past any of these the answer is a problem with the code `limit-exceeded`, before memory
is taken where that can be known.

"""

EXAMPLES = """
## Examples

Data in a folder of its own, two CPU workers with four threads each:

```bash
MODEL_LAB_DATA_DIR=/srv/lab MODEL_LAB_DEVICES=cpu:0,cpu:1 MODEL_LAB_WORKER_THREADS=4 make run
```

PostgreSQL, and the second GPU alone:

```bash
MODEL_LAB_DATABASE_URL=postgresql://lab@db.example/lab MODEL_LAB_DEVICES=cuda:1 make run
```
"""


def render() -> str:
    """The whole page."""
    settings = table(Settings, "MODEL_LAB_")
    return HEAD + settings + LIMITS_HEAD + table(Limits, "MODEL_LAB_LIMITS__") + EXAMPLES


def table(model: type[BaseModel], prefix: str) -> str:
    lines = ["| variable | default | what it is |", "|---|---|---|", *rows(model, prefix)]
    return "\n".join(lines) + "\n"


def rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            continue  # limits have a table of their own
        assert field.description, f"{model.__name__}.{name} has no description"
        yield f"| `{prefix}{name.upper()}` | {default_of(field)} | {field.description}{choices_of(field)} |"


def default_of(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"{value} ({value // GIB} GiB)" if value % GIB == 0 else f"{value} ({value // MIB} MiB)"
    return f"`{value}`"


def choices_of(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return ""
    return ": " + ", ".join(f"`{choice}`" for choice in get_args(field.annotation))


if __name__ == "__main__":
    PAGE.write_text(render())
