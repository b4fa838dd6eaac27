"""The documentation site: the pages of this folder, and a reference made from the docstrings. `make docs` builds it."""

import ast
import inspect
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "axonic"
REFERENCE = Path(__file__).parent / "reference"

project = "axonic"
author = "the authors of axonic"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2
html_theme = "furo"
html_title = "axonic"
nitpicky = True


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def described(node, path: str, level: int):
    """A heading and the docstring of a public function or class, and of the public methods of a class."""
    text = ast.get_docstring(node)
    if text is None or node.name.startswith("_"):
        return
    title = f"class {node.name}" if isinstance(node, ast.ClassDef) else node.name
    yield f"{'#' * level} {title}".replace("_", "\\_")
    if isinstance(node, ast.FunctionDef):
        yield f"```python\n{signature(node)}\n```"
    yield f"```text\n{inspect.cleandoc(text)}\n```"
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef):
                yield from described(inner, path, level + 1)


def reference() -> None:
    """A page for each module, from its text: nothing is imported, and equations keep their lines."""
    REFERENCE.mkdir(exist_ok=True)
    names = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        text = ast.get_docstring(module)
        if text is None:
            continue
        parts = [f"# {name}".replace("_", "\\_"), f"```text\n{text}\n```"]
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                parts += described(node, name, 2)
        names.append(name)
        write(REFERENCE / f"{name}.md", "\n\n".join(parts) + "\n")
    listed = "\n".join(names)
    write(REFERENCE / "index.md", f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")


def write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


reference()
