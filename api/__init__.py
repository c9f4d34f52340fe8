"""The HTTP door (product.md, "HTTP API"): thin routes over the ledger's reads and the workflow's updates.

Nothing here posts money. A route checks who asks and what for, has the ledger write it down, tells the
workflow, and answers from the rows.
"""
