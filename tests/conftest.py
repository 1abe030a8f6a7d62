"""What every test shares: examples that are the same in every run.

A generated example that fails must fail again for whoever looks into it, so `make test` draws
the same ones each time. `make soak` goes on to ones that nobody has seen.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("exploring", deadline=None, print_blob=True)
settings.load_profile("repeatable")
