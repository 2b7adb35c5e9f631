"""The flags by which a user decides how tables and texts are read: see reading.py."""

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
# A flag of every command that reads data: its name, its value, and what it decides.
FLAGS = (
    (
        "delimiter",
        "CHAR",
        f"Character between the cells of a table: {', '.join(DELIMITERS)}, or any other character. "
        "[default: detected]",
    ),
    (
        "encoding",
        "NAME",
        "Character encoding of tables and texts, such as utf-8, windows-1252 or utf-16. "
        "[default: detected]",
    ),
    (
        "header",
        "yes|no",
        "Whether the first line of a table contains the column headings. [default: detected]",
    ),
    ("label_column", "COLUMN", "Column of the labels, by its heading or its number from 1."),
    ("text_column", "COLUMN", "Column of the texts, by its heading or its number from 1."),
    (
        "columns",
        "LIST",
        "Columns to read, by number from 1, such as 2-5,8, or by heading, such as 'width,length'.",
    ),
)
