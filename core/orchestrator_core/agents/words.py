"""Words with a meaning of their own in the verb language: as names of files they are quoted.

The reader and the writer of the language share these sets, so that what is written is read back
as the same.
"""

from __future__ import annotations

import re

BARE_GLOB = re.compile(
    r"(?:[\w.*?!@+~/-]|\[[^\]\s\"'`]+\]|\{[^{}\s\"'`]+\}|(?<=/)\([^()\s/\"'`]+\)(?=/))+"
    r"(?:[\w*?/+-]|(?<=[]})]))|[\w.*/]|\.\."
)
"""A glob that needs no quotes, as a whole."""

ARTICLES = frozenset("the all any every each of my our your this whole entire complete".split())  # noqa: SIM905 (words read better in a row)
"""Words before a file or a folder that say nothing."""

FOLDER_WORDS = frozenset({"folder", "folders", "directory", "directories", "dir", "dirs"})
FILE_WORDS = frozenset({"file", "files"})
JOINTS = frozenset({",", "and", "or", "&"})

PROSE_WORDS = frozenset(
    """a an is are was be been that which who it its so if when while as to for from with without
    by on at not no but into onto via in inside within under across throughout than then there
    here way order use using used please do does lang language""".split()  # noqa: SIM905 (words read better in a row)
)
"""Words that no one means as a folder: with one of them a text is prose, not a scope."""

WHOLE_WORDS = frozenset(
    """everything everywhere code source project workspace repo repository codebase tree""".split()  # noqa: SIM905 (words read better in a row)
)
"""Words for the whole workspace."""

GLOB_WORDS = ARTICLES | FOLDER_WORDS | FILE_WORDS | JOINTS | PROSE_WORDS | WHOLE_WORDS
"""Words that are quoted where they are meant as a file or a folder."""

COMMAND_WORDS = frozenset(
    "the a an all my our your command test tests check checks lint linter :".split()  # noqa: SIM905 (words read better in a row)
)
"""Words that do not begin a command line: ``run the tests with …`` is plain English."""
