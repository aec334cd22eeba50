"""Saved Daily Papers listings in, a published SQLite database out.

The modules stand in the order data flows through them:

captures → readers, reading → merge, rows, catalogue → tagging, links, related
→ schema, columns, database → search, ranking, results
"""

__version__ = "0.1.0"
