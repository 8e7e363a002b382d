"""The formats in which people keep corpora: each recognizes its own label files by their contents and says what they say of the audio.

START HERE: `format.Format` is the interface, `table.FORMATS` the list. A new format is a file and a line in the table.
"""
