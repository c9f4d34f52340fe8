"""The proof: PostgreSQL tables, the double-entry book, the moves of money, and what the API reads.

Everything here is synchronous and takes the time as an argument: no clock but the caller's (a workflow's clock
may run ahead of the database's), no I/O outside PostgreSQL, no transaction left open across a call outside.
"""
