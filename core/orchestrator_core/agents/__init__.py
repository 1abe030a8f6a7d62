"""Who plans and works: the built-in backend with its verbs, and the backends with a model."""
