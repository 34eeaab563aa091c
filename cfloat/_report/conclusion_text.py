"""The first screen of a report: its conclusion as text."""

from .conclusion import Conclusion


def screen(conclusion: Conclusion) -> str:
    """Write a conclusion as text."""
    return "\n".join(conclusion.commands)
