"""The fault programme: the real stack under load and under fire, and both books compared once it has stopped."""
