"""Saved Daily Papers listings in, a published SQLite database out.

The modules stand in the order data flows through them:

captures → readers → merge → tagging, links, related → schema, database → search, ranking, results
"""

__version__ = "0.1.0"
