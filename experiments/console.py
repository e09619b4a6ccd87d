"""The console on which commands print."""

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
