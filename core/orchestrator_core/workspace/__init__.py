"""The person's files: what is in them now, private drafts of changes, and making changes real."""
