"""What chainrule is measured with; see README.md beside this file."""
