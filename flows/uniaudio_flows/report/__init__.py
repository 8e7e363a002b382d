"""`report.html`: one self-contained page about a store. Draws what is there; what is not there yet is said in words."""

from uniaudio_flows.report.page import write_report

__all__ = ["write_report"]
