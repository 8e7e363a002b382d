"""One annotator a file: each says one kind of thing about a clip, with its name, its version and its confidence.

START HERE: `annotator.Annotator` is the interface, `table.ANNOTATORS` the list. A new annotator is a file and a line
in the table.
"""
