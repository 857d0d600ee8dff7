# SPDX-License-Identifier: MIT
"""Tables in reStructuredText, printed or put into a page between two marks."""


def lines(cells):
    """A row of a list-table; a cell is a text, or a list of paragraphs."""
    first = "   *"
    for cell in cells:
        for i, text in enumerate([cell] if isinstance(cell, str) else cell):
            yield f"{first} - {text}" if not i else "       " + text
            first = "    "
            if not isinstance(cell, str) and i + 1 < len(cell):
                yield ""


def put_table(page, begin, end, rows):
    """The first of ROWS are headings; PAGE is a path, or nothing: then it is printed."""
    text = "\n".join([".. list-table::", "   :header-rows: 1", "",
                      *(line for row in rows for line in lines(row))])
    if not page:
        print(text)
        return
    with open(page) as f:
        before, begun, rest = f.read().partition(begin + "\n")
    _, ended, after = rest.partition(end + "\n")
    if not ended:
        raise ValueError(f"{page}: has no '{begin}' and '{end}'")
    with open(page, "w") as f:
        f.write(f"{before}{begun}\n{text}\n\n{ended}{after}")
