"""What a running process tells of itself: log lines, metrics and traces; never a name, a phone, a card or a code."""
