"""The binding to the C core, formats, rounding, flags, threads, and the checks of arguments.

Importing it chooses the instruction set.
"""

from .isa import select_as_the_environment_says

select_as_the_environment_says()
