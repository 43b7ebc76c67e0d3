#!/usr/bin/env python3
"""Writes the tables of the built-in rules in docs/rules.md anew from the headers of queries/*/*.sql.

    python3 docs/rules_table.py           # writes
    python3 docs/rules_table.py --check   # says whether they are up to date
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rules.md"
FIRST, SECOND = "| rule | level | status | what it sees | taxonomy |", "| rule | window | parameters and their defaults |"


def header(path):
    """The TOML behind `-- ` at the top of a rule."""
    lines = []
    for line in path.read_text().lstrip().splitlines():
        if not line.startswith("--"):
            break
        lines.append(line[2:].removeprefix(" "))
    return tomllib.loads("\n".join(lines))


def value(of):
    """A parameter's default as TOML writes it."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, list):
        return "[" + ", ".join(map(value, of)) + "]"
    return f'"{of}"' if isinstance(of, str) else str(of)


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def tables():
    """Both tables, by the rules' ids."""
    rules = sorted((header(p)["id"], p, header(p)) for p in (ROOT / "queries").glob("*/*.sql") if p.parent.name != "views")
    first, second = [FIRST, "|---|---|---|---|---|"], [SECOND, "|---|---|---|"]
    for name, path, head in rules:
        tags = ", ".join(f"`{tag}`" for tag in head["tags"])
        link = f"[`{name}`](../queries/{path.parent.name}/{path.name})"
        first.append(f"| {link} | {head['level']} | {head['status']} | {cell(head['title'])} | {tags} |")
        params = ", ".join(f"`{key} = {cell(value(of))}`" for key, of in head.get("params", {}).items())
        second.append(f"| `{name}` | {head.get('window', '')} | {params} |")
    return first, second


def replaced(page, start, table):
    """The page with the table that starts with this line replaced."""
    lines = page.splitlines()
    at = lines.index(start)
    end = next((n for n in range(at, len(lines)) if not lines[n].startswith("|")), len(lines))
    return "\n".join(lines[:at] + table + lines[end:]) + "\n"


def main():
    page = PAGE.read_text()
    first, second = tables()
    new = replaced(replaced(page, FIRST, first), SECOND, second)
    if new == page:
        return
    if "--check" in sys.argv:
        sys.exit("the tables in docs/rules.md are not those of queries/: run python3 docs/rules_table.py")
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
