"""chainrule against itself: all widths, threads or one, cost as batch and width grow.

Each sweep is one module; ``__main__.py`` is the command.
"""
