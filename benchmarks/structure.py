"""How the package is built: cycles of imports, modules directly in nlkit, and lines of code by folder.

python benchmarks/structure.py

Lines of code are those that hold code: no blank lines, comments or docstrings.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, 0}  # 0: the end


def imports(package: Path) -> dict[str, set[str]]:
    """Return which modules of a package each of them imports, wherever in its file; dotted names."""
    paths = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(package.rglob("*.py"))
    }
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & set(paths)
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= full & set(paths)
                if full - set(paths):  # a name that is no module comes from the package itself
                    graph[name] |= {node.module} & set(paths)
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found, to_do = set[str](), [*graph[start]]
        while to_do:
            if (name := to_do.pop()) not in found:
                found.add(name)
                to_do += graph[name]
        reached[start] = found
    groups = {frozenset(m for m in reached[n] if n in reached[m]) for n in graph if n in reached[n]}
    return sorted(map(sorted, groups))


def code_lines(path: Path) -> int:
    """Return how many lines of a Python file hold code."""
    source = path.read_text("utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def main() -> None:
    """Print all of it."""
    found = cycles(imports(ROOT / "nlkit"))
    print(f"cycles of imports: {len(found)}", *(", ".join(group) for group in found), sep="\n  ")
    print(f"modules directly in nlkit: {len([*(ROOT / 'nlkit').glob('*.py')])}")
    for top in ("nlkit", "notebooks/build", "tests", "benchmarks"):
        lines: Counter[str] = Counter()
        for path in sorted((ROOT / top).rglob("*.py")):
            lines[str(path.parent.relative_to(ROOT))] += code_lines(path)
        print(f"{lines.total():6} {top}", *(f"{n:10} {folder}" for folder, n in lines.items()), sep="\n")


if __name__ == "__main__":
    main()
