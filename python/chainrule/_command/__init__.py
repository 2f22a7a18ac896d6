"""The command `chainrule`: what its subcommands do.

`chainrule._cli` reads the arguments and calls these modules; nothing else imports them. They use
the public face of the package and the libraries of the extra `cli`, which are imported inside the
functions: `chainrule --help` and `chainrule info` work without them and start at once.
"""
