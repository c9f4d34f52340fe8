"""The reference console: the customer's pages and the finance desk, rendered here, over the HTTP API.

It is a client of the API like any other: it knows no room of this house, posts no money, and decides nothing that the
API would not refuse. Tokens stay on this side; the browser holds a sealed session.
"""
