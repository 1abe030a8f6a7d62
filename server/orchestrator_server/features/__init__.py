"""What the editor asks of a document: one module a feature, pure where it can be."""
