"""The cleanup of ``.opencode``: it stays small, and no file of a person's is ever touched.

``manifest`` knows what this program created there, ``jobs`` says as data what is to be kept for
how long, ``planning`` turns both into a plan, ``removal`` and ``compression`` carry it out by way
of the ``quarantine``, ``recovery`` finishes what a killed process began, ``cleaner`` is the whole
of a pass, and ``scheduler`` runs passes when they are due.
"""
