"""What agents call: code search and rewriting, linting, renaming, commands."""
