"""Tests by ear: a folder with a page that runs by itself and with webMUSHRA's configuration, and its results read back. START HERE: `design`."""
