"""Sandbox, for development and tests only: the outside world as a process of its own.

It plays the bank, the SMS provider and the token issuer. It speaks HTTP, keeps its own book, and shares no
code with the system it stands against.
"""
