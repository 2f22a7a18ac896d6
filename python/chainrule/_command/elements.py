"""HTML from parts: whatever is not an element itself is escaped, so that no name becomes markup."""

from __future__ import annotations

import base64
from html import escape
from typing import TypeAlias

__all__ = ["Element", "Node", "element", "picture", "table"]


class Element:
    """Finished HTML.

    Parameters
    ----------
    html : str
        Markup; taken as it is.
    """

    def __init__(self, html: str) -> None:
        self.html = html


Node: TypeAlias = "Element | str"


def element(tag: str, *children: Node, **attributes: str) -> Element:
    """Return an element; `class_` stands for the attribute class."""
    written = "".join(
        f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items()
    )
    inside = "".join(
        child.html if isinstance(child, Element) else escape(child) for child in children
    )
    return Element(f"<{tag}{written}>{inside}</{tag}>")


def picture(svg: bytes, description: str) -> Element:
    """Return an image that holds its data; scripts in one do not run."""
    data = base64.b64encode(svg).decode("ascii")
    return Element(f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">')


def table(header: list[str], rows: list[list[str]], *, numbers_from: int) -> Element:
    """Return a table in a box that scrolls; columns from `numbers_from` on are aligned right."""

    def cells(tag: str, row: list[str]) -> Element:
        return element(
            "tr",
            *(
                element(tag, cell, class_="number") if i >= numbers_from else element(tag, cell)
                for i, cell in enumerate(row)
            ),
        )

    body = [cells("td", row) for row in rows]
    whole = element("table", element("thead", cells("th", header)), element("tbody", *body))
    return element("div", whole, class_="scrolls")
