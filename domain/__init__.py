"""The rules of a withdrawal, with the standard library only.

Nothing here reads a clock, a database or the network: whoever asks passes in the time and the facts.
"""
