"""Sphinx configuration of the documentation; CONTRIBUTING.md says how to build it.

The pages are Markdown and are read on the code host too: links between them are relative, and
those that lead out of docs/ become links to the code host in the built site. The reference of the
Python API is made from docstrings, that of the command from its own parsers.
"""

import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import chainrule
from chainrule._command.parsers import build_parser

DOCS = Path(__file__).parent
ON_THE_CODE_HOST = "https://github.com/chainrule/chainrule/blob/main"

project = "chainrule"
author = "The chainrule developers"
copyright = author
version = release = chainrule.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"chainrule {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

highlight_language = "none"  # of blocks that name none

# Types and shapes stand in the docstrings; annotations would say them again, in other words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
myst_heading_anchors = 3  # links such as numerics.md#losses
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Docstrings name classes of other libraries; their inventories would need a network.
nitpick_ignore_regex = [("py:.*", r"(numpy|sklearn)\..*")]


def lead_outside_links_to_the_code_host(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite the links of a page to files that are no pages of this site."""
    folder = (DOCS / docname).parent

    def rewritten(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[1]))
        if path.is_relative_to(DOCS):
            return match[0]
        place = path.relative_to(DOCS.parent).as_posix()
        return f"]({ON_THE_CODE_HOST}/{place}{match[2] or ''})"

    source[0] = re.sub(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)", rewritten, source[0])


class CommandHelp(SphinxDirective):
    """`command-help`: what `--help` prints, a section for each subcommand."""

    def run(self) -> list[nodes.Node]:
        """Return the sections, behind the help of the command itself."""
        parser = build_parser()
        subparsers = next(
            action.choices for action in parser._actions if isinstance(action.choices, dict)
        )
        found: list[nodes.Node] = [nodes.literal_block("", parser.format_help(), language="text")]
        for name, subparser in subparsers.items():
            section = nodes.section(ids=[f"chainrule-{name}"])
            section += nodes.title("", f"chainrule {name}")
            section += nodes.literal_block("", subparser.format_help(), language="text")
            found.append(section)
        return found


def setup(app: Sphinx) -> None:
    """Enter the above with Sphinx."""
    os.environ["COLUMNS"] = "80"  # of the help
    app.connect("source-read", lead_outside_links_to_the_code_host)
    app.add_directive("command-help", CommandHelp)
