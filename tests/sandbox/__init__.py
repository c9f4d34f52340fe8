"""The sandbox has to be right itself: what it books is what all others are checked against."""
